"""The entries of LiteLLM's model_list."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from tollhouse.importing.notes import NotCarried, Notes
from tollhouse.importing.values import listing, mapping, number, text, texts
from tollhouse.policy import rules


@dataclass(frozen=True, slots=True)
class Deployment:
    """One entry of model_list; `params` with the named credential's values under its own."""

    name: str
    params: dict[str, Any]
    info: dict[str, Any]

    @property
    def access_groups(self) -> list[str]:
        """The access groups that the model is in."""
        return texts(self.info.get("access_groups"))

    @property
    def routing_tags(self) -> list[str]:
        """The tags by which LiteLLM routes."""
        return [*texts(self.params.get("tags")), *texts(self.info.get("tags"))]


def deployments(config: dict[str, Any], notes: Notes) -> list[Deployment]:
    """The entries of model_list, in its order."""
    credentials = {
        text(mapping(one).get("credential_name")): mapping(mapping(one).get("credential_values"))
        for one in listing(config.get("credential_list"))
    }
    found = []
    for position, entry in enumerate(map(mapping, listing(config.get("model_list"))), start=1):
        params, info = mapping(entry.get("litellm_params")), mapping(entry.get("model_info"))
        name = text(entry.get("model_name"))
        if not name:
            notes.drop("models", f"entry {position} of model_list", "it has no model_name")
            continue
        credential = credentials.get(text(params.get("litellm_credential_name")), {})
        found.append(Deployment(name, {**credential, **params}, info))
    return found


def by_name(found: list[Deployment]) -> dict[str, list[Deployment]]:
    """The deployments of each model_name, those that LiteLLM prefers first."""
    groups: dict[str, list[Deployment]] = {}
    for one in found:
        groups.setdefault(one.name, []).append(one)
    return {name: sorted(group, key=_order) for name, group in groups.items()}


def _order(one: Deployment) -> Decimal:
    stated = number(one.params.get("order"))
    return Decimal("Infinity") if stated is None else stated


def is_alias(name: str) -> bool:
    """Whether the policy takes this as the name of an alias."""
    return bool(rules.ALIAS.fullmatch(name)) and not name.startswith("tag:")


def check_name(one: Deployment) -> None:
    """Raises NotCarried for a wildcard, and for a name that no alias can have."""
    if "*" in one.name or "*" in text(one.params.get("model")):
        raise NotCarried(
            "a wildcard stands for models that the config does not name; every alias here is named",
            "write the models that are in use into models.yaml, one entry each",
        )
    if not is_alias(one.name):
        why = "an alias is letters, digits, '.', '_', ':', '/', '@' or '-', at most 128"
        raise NotCarried(why, "give it such a name and tell its callers")
