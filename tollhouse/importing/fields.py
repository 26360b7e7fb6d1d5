"""Fields of LiteLLM's keys and teams that have no equal here, each with the reason."""

from __future__ import annotations

from typing import Any

from tollhouse.importing.notes import Group, Notes
from tollhouse.importing.values import listing, mapping, number, text

_ACCESS: Group = "limits and access"
_PEOPLE: Group = "keys and teams"

REASONS: dict[str, tuple[Group, str, str]] = {
    "user_id": (
        _PEOPLE,
        "there are no users here: a user's own budget, limits and models no longer apply; the id"
        " was kept as metadata",
        "write the limits at the key",
    ),
    "organization_id": (
        _ACCESS,
        "there is one org here; the organisation's budget, limits and models no longer apply",
        "write them at its teams",
    ),
    "budget_id": (
        _ACCESS,
        "the shared budget is in LiteLLM_BudgetTable and not in the export",
        "write its limits by hand",
    ),
    "project_id": (
        _ACCESS,
        "the LiteLLM project is not in the export: its models, limits and block were not carried",
        "write them at the project, which has the id as its name",
    ),
    "soft_budget": (_ACCESS, "it only sent an alert", "alert on the ledger's metrics"),
    "permissions": (_PEOPLE, "keys here call models and nothing else", ""),
    "object_permission_id": (
        _PEOPLE,
        "MCP servers, vector stores and agents are not served",
        "",
    ),
    "access_group_ids": (
        _ACCESS,
        "access groups of LiteLLM's database are not exported, so what they add is not allowed",
        "add those models to allowed_models",
    ),
    "aliases": (
        _PEOPLE,
        "a key has no aliases of its own",
        "add them to models.yaml, for everybody",
    ),
    "litellm_model_table": (
        _PEOPLE,
        "a team has no aliases of its own",
        "add them to models.yaml, for everybody",
    ),
    "config": (_PEOPLE, "a key has no configuration of its own", ""),
    "router_settings": ("routing", "routing is not set per key or team", ""),
    "allowed_cache_controls": (_PEOPLE, "answers are not cached here", ""),
    "policies": (_ACCESS, "guardrail policies have no equal", "filter in front of the gateway"),
    "guardrails": (_ACCESS, "guardrails have no equal", "filter in front of the gateway"),
    "agent_id": (_PEOPLE, "agents have no equal", ""),
    "auto_rotate": (
        _PEOPLE,
        "keys are not rotated by themselves",
        "make a second key with `tollhouse keys new`, move the caller, remove the first",
    ),
    "default_team_member_models": (
        _ACCESS,
        "a team has no members here",
        "list models at the keys",
    ),
    "tags": (_PEOPLE, "a key has no request tags, and so no budgets for them", ""),
    "logging": (_PEOPLE, "callbacks are not set per key", "read the access log"),
    "prompts": (_PEOPLE, "prompts are not kept here", ""),
    "spend": (
        _ACCESS,
        "the ledger begins at zero: what was spent in the running period does not count",
        "lower a budget by hand until its period ends",
    ),
}
_SAME = {"org_id": "organization_id", "object_permission": "object_permission_id"}
_CONTROL = frozenset(
    {"model_rpm_limit", "model_tpm_limit", *(name for name in REASONS if name != "user_id")}
)
"""Members of `metadata` by which LiteLLM is steered; all others are the user's own."""
_MOST_NAMED = 6


class LeftBehind:
    """Counts the fields that are left behind over all keys and teams, for one note each."""

    def __init__(self) -> None:
        self._seen: dict[str, list[str]] = {}

    def look(self, row: dict[str, Any], what: str) -> None:
        """Remembers what this key or team has and cannot keep."""
        metadata = mapping(row.get("metadata"))
        stated = {**{name: metadata[name] for name in metadata if name in _CONTROL}, **row}
        if mapping(row.get("litellm_budget_table")):
            stated.pop("budget_id", None)
            stated.setdefault(
                "soft_budget", mapping(row["litellm_budget_table"]).get("soft_budget")
            )
        for name, value in stated.items():
            known = _SAME.get(name, name)
            if known in REASONS and _says_something(value):
                about = self._seen.setdefault(known, [])
                if what not in about:
                    about.append(what)

    def tell(self, notes: Notes) -> None:
        """One note for each field."""
        for name, about in self._seen.items():
            group, why, instead = REASONS[name]
            more = len(about) - _MOST_NAMED
            named = ", ".join(about[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
            notes.drop(group, f"{name} of {named}", why, instead)


def _says_something(value: object) -> bool:
    if isinstance(value, dict | list):
        return bool(mapping(value) or listing(value))
    return value is True or bool(text(value)) or bool(number(value))


def is_control(name: str) -> bool:
    """Whether a member of `metadata` steers LiteLLM, and is not its user's own."""
    return name in _CONTROL
