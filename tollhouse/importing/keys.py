"""One LiteLLM key as a key of the policy."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from tollhouse.importing.access import TEAM_DECIDES, Access
from tollhouse.importing.limits import LimitReader
from tollhouse.importing.metadata import metadata_of
from tollhouse.importing.notes import NotCarried, Notes, looks_like_key
from tollhouse.importing.providers import why_invalid
from tollhouse.importing.values import Unique, flag, mapping, name_of, text, texts
from tollhouse.keys import sha256_hex
from tollhouse.policy.team_files import KeyFile

_HASH = re.compile(r"[0-9a-f]{64}", re.IGNORECASE)
_CALLS = re.compile(
    r"\*|llm_api_routes|openai_routes|(?:/v1)?/(?:\*|chat/completions|embeddings|models)"
)


def token_hash(row: dict[str, Any]) -> str:
    """The SHA-256 of a key. LiteLLM stores just that; where a dump holds the key itself it is
    hashed here and kept nowhere.

    Raises:
        NotCarried: it is neither.
    """
    token = text(row.get("token"))
    if _HASH.fullmatch(token):
        return token.lower()
    if token.startswith("sk-") and "..." not in token:
        return sha256_hex(token)
    raise NotCarried(
        "its token is neither a SHA-256 nor a key", "export it again, or make a new one"
    )


def models_of(row: dict[str, Any]) -> list[str]:
    """The models that a key or a team lists; [] where it lists none, which is all of them.

    Raises:
        NotCarried: it is not a list, and might be taken for an empty one.
    """
    stated = row.get("models")
    if stated is None or stated in ("", {}):  # {} is also how Postgres writes an empty array
        return []
    if not isinstance(stated, list | str):
        raise NotCarried("its models are not a list", "write it by hand")
    return [str(one) for one in (stated if isinstance(stated, list) else [stated])]


def label(wanted: object, fallback: str) -> str:
    """A name from what people wrote, unless that looks like a key."""
    stated = text(wanted)
    if not stated or looks_like_key(stated) or stated.startswith(("sk-", "tlh_")):
        return fallback
    named = name_of(stated, fallback)
    return fallback if named.startswith(("sk-", "tlh_")) else named


class KeyReader:
    """Carries keys over; their ids are unique in the whole policy."""

    def __init__(self, access: Access, notes: Notes) -> None:
        self._access = access
        self._limits = LimitReader(notes)
        self._notes = notes
        self._ids = Unique()

    def read(self, row: dict[str, Any], sha256: str) -> dict[str, Any]:
        """The key's entry.

        Raises:
            NotCarried: without it something would be allowed that is not now.
        """
        _check_routes(row)
        file: dict[str, Any] = {
            "id": self._ids.take(label(row.get("key_alias"), f"key-{sha256[:12]}"))
        }
        what = f"key '{file['id']}'"
        file["sha256"] = sha256
        file["expires"] = _expiry(row.get("expires"))
        file |= self.limited(row, what)
        if (models := self._models(models_of(row), what)) is not None:
            file["allowed_models"] = models
        file["metadata"] = metadata_of(row, what, self._notes)
        file = {name: value for name, value in file.items() if value is not None and value != {}}
        try:
            KeyFile.model_validate(file)
        except ValidationError as error:
            raise NotCarried(why_invalid(error), "write it by hand") from None
        return file

    def _models(self, models: list[str], what: str) -> list[str] | None:
        if TEAM_DECIDES in models:
            return None
        return self._access.allowed(models, what) if models else ["*"]

    def limited(self, row: dict[str, Any], what: str) -> dict[str, Any]:
        """blocked, limits, model_limits and denied_models of a key or a team."""
        shared = mapping(row.get("litellm_budget_table"))
        merged = {**shared, **{name: value for name, value in row.items() if value is not None}}
        limits = self._limits.of(merged, what)
        file: dict[str, Any] = {}
        if flag(row.get("blocked")) or limits.nothing_allowed:
            file["blocked"] = True
        if limits.nothing_allowed:
            why = "a limit of 0 allows no call; it is blocked"
            self._notes.tell("limits and access", what, why, "remove blocked: when it may call")
        if limits.fields:
            file["limits"] = limits.fields
        return file | self._by_model(merged, what)

    def _by_model(self, row: dict[str, Any], what: str) -> dict[str, Any]:
        kept: dict[str, Any] = {}
        denied: list[str] = []
        for model, limits in self._limits.by_model(row, what).items():
            if not self._access.knows(model):
                why = "no model of that name was carried over"
                about = f"the limits of '{model}' for {what}"
                self._notes.drop("limits and access", about, why, "write model_limits by hand")
                continue
            names = self._access.names(model)
            if limits.nothing_allowed:
                denied += names
            elif limits.fields:
                kept |= dict.fromkeys(names, limits.fields)
                self._tell_of_names(names, what)
        found = {"model_limits": kept, "denied_models": denied}
        return {name: value for name, value in found.items() if value}

    def _tell_of_names(self, names: list[str], what: str) -> None:
        if len(names) > 1:
            why = f"the limits of one model stand for each of its names: {', '.join(names)}"
            self._notes.tell("limits and access", what, why, "deny it all names but one")


def _check_routes(row: dict[str, Any]) -> None:
    routes = texts(row.get("allowed_routes"))
    if routes and not any(_CALLS.fullmatch(route) for route in routes):
        raise NotCarried("its allowed_routes let it call no model, and every key here calls models")


def _expiry(stated: object) -> datetime | None:
    if stated is None or stated in ("", {}):  # {} is also how Postgres writes an empty array
        return None
    try:
        moment = datetime.fromisoformat(text(stated))
    except ValueError:
        moment = None
    if moment is None or not 2000 <= moment.year < 3000:
        raise NotCarried(
            "its expires is no date from 2000 to 2999", "write the key by hand with its date"
        )
    # LiteLLM's database keeps UTC and says so in some dumps only.
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
