"""The providers of an import: one for each address and secret that its models use."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from pydantic import ValidationError

from tollhouse.importing.addresses import (
    BY_HAND,
    KNOWN,
    base_url,
    is_loopback,
    is_openai,
    place_of,
)
from tollhouse.importing.notes import NotCarried, Notes
from tollhouse.importing.values import Unique, name_of, number, variable
from tollhouse.policy.provider_files import ProviderFile

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LONGEST_SECONDS = 3600
_FETCHED = ("oidc/", "hashicorp/", "aws_secret/", "google_secret/")


def why_invalid(error: ValidationError) -> str:
    """The first finding, without the value it is about."""
    [first, *_] = error.errors(include_url=False, include_input=False)
    where = ".".join(str(part) for part in first["loc"] if part != "[key]")
    return f"'{where}' {first['msg']}"


class Secrets:
    """Names an environment variable for every provider key; keeps literal keys to itself."""

    def __init__(self, deployments: list[dict[str, Any]], notes: Notes) -> None:
        keys = [_stated(params) for params in deployments]
        # A key that is not stated is read from the provider's usual variable.
        usual = [known.variable for known in KNOWN.values()] if "" in keys else []
        self._taken = Unique("_")
        for name in {*filter(None, map(variable, keys)), *usual}:
            self._taken.take(name)
        self._literal: dict[str, str] = {}
        self._notes = notes

    def variable(self, slug: str, place: str, params: dict[str, Any]) -> str:
        """The variable for one deployment.

        Raises:
            NotCarried: its key is one that is fetched, or the variable's name cannot be one.
        """
        stated = _stated(params)
        named = variable(stated) if stated else KNOWN[slug].variable
        if stated.startswith(_FETCHED):
            raise NotCarried("its api_key is fetched from another service at run time", BY_HAND)
        if named is None:
            return self._name(stated, place)
        if not _VARIABLE.fullmatch(named):
            raise NotCarried("its api_key names no environment variable", BY_HAND)
        return named

    def _name(self, literal: str, place: str) -> str:
        if literal not in self._literal:
            wanted = re.sub(r"[^A-Z0-9]+", "_", place.upper())
            wanted = f"{wanted}_API_KEY" if wanted[:1].isalpha() else f"PROVIDER_{wanted}_API_KEY"
            self._literal[literal] = self._taken.take(wanted)
            self._notes.tell(
                "settings",
                f"the api_key of '{place}'",
                "the config holds it in plain text; it was written nowhere, and the policy names"
                f" {self._literal[literal]}",
                "set it for Envoy to that key (to any word if the provider asks for none)",
            )
        return self._literal[literal]


def _stated(params: dict[str, Any]) -> str:
    value = params.get("api_key")
    return "" if value is None else str(value).strip()


@dataclass(frozen=True, slots=True)
class _Identity:
    slug: str
    url: str
    variable: str


class Providers:
    """Collects the providers, each once, under names that say where they are."""

    def __init__(self, secrets: Secrets, default_timeout: object, notes: Notes) -> None:
        self.files: dict[str, dict[str, Any]] = {}
        self.comments: dict[str, str] = {}
        self._names: dict[_Identity, str] = {}
        self._unique = Unique()
        self._secrets = secrets
        self._default_timeout = default_timeout
        self._notes = notes

    def provider_of(self, slug: str, params: dict[str, Any]) -> str:
        """The name of the provider of one deployment.

        Raises:
            NotCarried: no provider can be written for it.
        """
        url = base_url(slug, params).rstrip("/")
        place = place_of(slug, url)
        identity = _Identity(slug, url, self._secrets.variable(slug, place, params))
        if identity not in self._names:
            self._add(identity, place)
        name = self._names[identity]
        self._wait(name, params)
        return name

    def _add(self, identity: _Identity, place: str) -> None:
        file = _file(identity)
        try:
            ProviderFile.model_validate(file)
        except ValidationError as error:
            raise NotCarried(
                f"its provider cannot be written: {why_invalid(error)}", BY_HAND
            ) from None
        name = self._unique.take(name_of(place, "provider"))
        self._names[identity] = name
        self.files[name] = file
        self.comments[name] = f"LiteLLM's provider {identity.slug}"
        self._tell(name, identity, file)

    def _tell(self, name: str, identity: _Identity, file: dict[str, Any]) -> None:
        if "allow_plain_http" in file:
            why = "its address is http://, so secret and prompts travel unencrypted, as before"
            self._notes.tell("settings", f"provider '{name}'", why, "give it TLS when you can")
        if identity.slug == "azure":
            why = "it is called through Azure's v1 API, not through the api_version of the config"
            self._notes.tell("models", f"provider '{name}'", why, "make one call of each model")
        elif KNOWN[identity.slug].native:
            why = f"LiteLLM spoke its own dialect; here {identity.url} is called in OpenAI's"
            self._notes.tell("models", f"provider '{name}'", why, "make one call of each model")

    def _wait(self, name: str, params: dict[str, Any]) -> None:
        """LiteLLM's timeout is the longest wait for a byte; deployments share their provider's."""
        stated = params.get("timeout", self._default_timeout)
        if stated is None:
            return
        seconds = number(stated)
        if seconds is None or not 0 < seconds <= _LONGEST_SECONDS:
            why = f"not a number of seconds up to {_LONGEST_SECONDS}"
            self._notes.drop("settings", f"a timeout of provider '{name}'", why, "600 seconds hold")
            return
        file = self.files[name]
        before = file.get("idle_timeout_seconds")
        if before is not None and before != seconds:
            self._notes.tell(
                "settings",
                f"provider '{name}'",
                "its models have different timeouts, and a provider has one; the longest was taken",
            )
        file["idle_timeout_seconds"] = max(seconds, before or Decimal(0))


def _file(identity: _Identity) -> dict[str, Any]:
    known = KNOWN[identity.slug]
    plain = identity.url.startswith("http://") and not is_loopback(identity.url)
    file: dict[str, Any] = {"dialect": "openai"}
    if plain:
        file["allow_plain_http"] = True
    file |= {"base_url": identity.url, "api_key": f"${{{identity.variable}}}"}
    if known.auth_header != "authorization":
        file["auth_header"] = known.auth_header
    field = known.max_tokens_field
    if identity.slug == "openai" and not is_openai(identity.url):
        # What only speaks OpenAI's dialect is safest with the older name of the field.
        field = "max_tokens"
    if field != "max_completion_tokens":
        file["max_tokens_field"] = field
    if known.stream_usage != "requested":
        file["stream_usage"] = known.stream_usage
    return file
