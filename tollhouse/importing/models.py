"""LiteLLM's model_list as the policy's models."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from pydantic import ValidationError

from tollhouse.importing.addresses import split_model
from tollhouse.importing.deployments import Deployment, by_name, check_name, is_alias
from tollhouse.importing.endpoints import endpoints_of
from tollhouse.importing.limits import LimitReader, Limits
from tollhouse.importing.notes import NotCarried, Notes, plain
from tollhouse.importing.parameters import defaults_of, drop_unknown
from tollhouse.importing.prices import price_of, shortest
from tollhouse.importing.providers import Providers, why_invalid
from tollhouse.importing.tags import Tags
from tollhouse.importing.values import mapping, number, text
from tollhouse.policy.model_files import ModelFile
from tollhouse.policy.pricing import pricing_of
from tollhouse.policy.provider_files import ProviderFile

_COUNTS = {
    "rpm": "requests_per_minute",
    "tpm": "tokens_per_minute",
    "max_parallel_requests": "max_parallel_requests",
}
_MOST_TOKENS = 10_000_000
_NANO = Decimal("1e-9")


@dataclass(slots=True)
class Models:
    """`files` by alias. `tags` has the tag of each access group that a model here is in.
    `left_behind` are names of the config that stand for nothing here."""

    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    comments: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    left_behind: set[str] = field(default_factory=set)


class ModelReader:
    """Carries deployments over, one alias for each model_name."""

    def __init__(self, providers: Providers, notes: Notes) -> None:
        self._providers = providers
        self._limits = LimitReader(notes)
        self._notes = notes

    def read(self, found: list[Deployment]) -> Models:
        """All of them."""
        models, tags = Models(), Tags(found)
        for name, group in by_name(found).items():
            self._carry_group(name, group, tags.of(group), models)
        used = {tag for file in models.files.values() for tag in file.get("tags", [])}
        groups = tags.of_access_group
        models.tags = {name: tag for name, tag in groups.items() if tag in used}
        models.left_behind = {one.name for one in found} - set(models.files)
        models.left_behind |= set(groups) - set(models.tags)
        self._tell(models)
        return models

    def _tell(self, models: Models) -> None:
        weights = ("requests_per_minute", "tokens_per_minute")
        limited = [
            name
            for name, file in models.files.items()
            if any(weight in file.get("limits", {}) for weight in weights)
        ]
        if limited:
            why = "rpm and tpm are limits here; LiteLLM's simple-shuffle only weighs by them"
            instead = "remove those that were meant as weights"
            self._notes.tell("models", f"limits of {', '.join(limited)}", why, instead)
        silent = [
            name
            for name, file in models.files.items()
            if "max_output_tokens" not in file and "endpoints" not in file
        ]
        if silent:
            why = "where the caller gives no maximum, answers end at the org's 4096 tokens"
            instead = (
                "write max_output_tokens at the model, or default_max_output_tokens in org.yaml"
            )
            self._notes.tell("models", f"{len(silent)} models without max_tokens", why, instead)

    def _carry_group(
        self, name: str, group: list[Deployment], tags: list[str], models: Models
    ) -> None:
        for position, one in enumerate(group, start=1):
            of_many = f" (deployment {position} of {len(group)})" if len(group) > 1 else ""
            what, called = f"model '{name}'{of_many}", text(one.params.get("model"))
            if name in models.files:
                why = "the import carries one deployment of a model over, the first that it can"
                instead = "write them all under deployments: in models.yaml (docs/fallback.md)"
                self._notes.drop("routing", f"{what}, {called}", why, instead)
                continue
            try:
                models.files[name] = self._carry(one, what, tags)
                models.comments[name] = f"LiteLLM: {called}"
            except NotCarried as error:
                self._notes.drop("models", what, error.why, error.instead)

    def _carry(self, one: Deployment, what: str, tags: list[str]) -> dict[str, Any]:
        check_name(one)
        slug, model = split_model(one.params)
        endpoints = endpoints_of(model, text(one.info.get("mode")))
        file = self._file(one, what, model, endpoints) | ({"tags": tags} if tags else {})
        try:
            ModelFile.model_validate({**file, "provider": "any"})
        except ValidationError as error:
            raise NotCarried(why_invalid(error), "write it in models.yaml by hand") from None
        file["provider"] = self._providers.provider_of(slug, one.params)
        self._price_by_base_model(one, file, what)
        drop_unknown(one.params, one.info, what, self._notes)
        if endpoints == ["chat/completions"]:
            del file["endpoints"]
        return file

    def _file(self, one: Deployment, what: str, model: str, endpoints: list[str]) -> dict[str, Any]:
        costs = {**one.info, **one.params}
        file: dict[str, Any] = {
            "provider": "",
            "model": model,
            "description": " ".join(plain(text(one.info.get("description"))).split())[:200],
            "endpoints": endpoints,
            "limits": self._limits_of(one, what),
            "defaults": defaults_of(one.params, what, self._notes),
            **self._token_bounds(one, what),
            "price": price_of(costs, what, self._notes, embeddings=endpoints == ["embeddings"]),
        }
        return {name: value for name, value in file.items() if value or name == "provider"}

    def _limits_of(self, one: Deployment, what: str) -> dict[str, Any]:
        limits = Limits()
        for name, ours in _COUNTS.items():
            self._limits.count(limits, ours, one.params.get(name), f"{name} of {what}")
        budget = (one.params.get("max_budget"), one.params.get("budget_duration"))
        self._limits.budget(limits, *budget, what)
        if limits.nothing_allowed:
            why = "a limit of 0 allows no call; a limit here is 1 or more"
            raise NotCarried(why, "leave the model out, or deny it to whom it is not for")
        return limits.fields

    def _token_bounds(self, one: Deployment, what: str) -> dict[str, int]:
        stated = one.params.get("max_tokens", one.params.get("max_completion_tokens"))
        if stated is not None:
            why = "max_tokens was a default; as max_output_tokens it also clamps those who ask more"
            self._notes.tell("models", what, why, "raise it if they should get more")
        else:
            stated = one.info.get("max_output_tokens", one.info.get("max_tokens"))
        bounds = {
            "max_output_tokens": stated,
            "max_input_tokens": one.info.get("max_input_tokens"),
        }
        return {
            name: tokens
            for name, value in bounds.items()
            if value is not None and (tokens := self._tokens(value, name, what))
        }

    def _tokens(self, value: object, name: str, what: str) -> int | None:
        tokens = number(value)
        whole = tokens is not None and tokens == tokens.to_integral_value()
        if tokens is None or not whole or not 1 <= tokens <= _MOST_TOKENS:
            why = f"not a whole number from 1 to {_MOST_TOKENS}"
            self._notes.drop("models", f"the {name} of {what}", why, "write it in models.yaml")
            return None
        return int(tokens)

    def _price_by_base_model(self, one: Deployment, file: dict[str, Any], what: str) -> None:
        """A deployment's name says nothing to a price list; base_model is there for that."""
        base = text(one.info.get("base_model")).rpartition("/")[2]
        if not base or "price" in file:
            return
        provider = ProviderFile.model_validate(self._providers.files[file["provider"]])
        asked = ModelFile.model_construct(
            provider="any", model=base, endpoints=file["endpoints"], price=None
        )
        price = pricing_of(file["provider"], provider, asked, datetime.now(UTC)).price
        if price is None:
            why = f"the public price list has no flat price for '{base}'"
            instead = "write price: beside it if a spend limit applies to it"
            self._notes.drop("prices", f"base_model of {what}", why, instead)
            return
        file["price"] = {
            f"{name}_per_million": shortest(Decimal(getattr(price, name)) * _NANO)
            for name in ("input", "output", "cached_input")
        }
        why = f"its price is the public one of its base_model '{base}' as of this import"
        self._notes.tell("prices", what, why, "keep it up to date in models.yaml")


def add_group_aliases(config: dict[str, Any], models: Models, notes: Notes) -> dict[str, list[str]]:
    """router_settings.model_group_alias: further aliases of the same deployments.

    Returns every alias with the further names of its deployment.
    """
    further: dict[str, list[str]] = {name: [] for name in models.files}
    for name, value in group_aliases(config).items():
        target = text(mapping(value).get("model")) or text(value)
        what = f"model_group_alias '{name}' for '{target}'"
        if why := _why_no_alias(name, target, models):
            models.left_behind.add(name)
            notes.drop("routing", what, why, "write the alias in models.yaml by hand")
            continue
        models.files[name] = models.files[target]
        models.comments[name] = f"LiteLLM: model_group_alias of {target}"
        further[target].append(name)
        further[name] = []
        if "limits" in models.files[target]:
            why = "each of the two names has the model's limits for itself"
            notes.tell("routing", what, why)
    return further


def group_aliases(config: dict[str, Any]) -> dict[str, Any]:
    """Each alias and what LiteLLM says of it."""
    return mapping(mapping(config.get("router_settings")).get("model_group_alias"))


def _why_no_alias(name: str, target: str, models: Models) -> str:
    if name in models.files:
        return "a model has that name already"
    if target not in models.files:
        return "its model was not carried over"
    return "" if is_alias(name) else "an alias cannot have that name"
