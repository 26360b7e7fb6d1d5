"""Decides by the words of policies/README.md, on the files' plain data, slowly and obviously.

Knows nothing of how the policy is compiled: no module of tollhouse is imported but the hash of a
key. What it says is what the compiled policy has to say (test_policy_reference.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from fnmatch import fnmatchcase
from typing import Any
from zoneinfo import ZoneInfo

from tollhouse.keys import sha256_hex

Data = dict[str, Any]
UNCHECKED = {"files", "batches"}
"""Of the endpoints whose model cannot be checked, those that trees.py has."""
Where = tuple[str, str | None]
"""A level ("team") and the environment of it, if it is one's."""


@dataclass(frozen=True)
class Tree:
    """The content of each file."""

    org: Data
    providers: Data
    models: Data
    teams: list[Data]
    keys: list[Data]


@dataclass(frozen=True)
class Verdict:
    """`limits` are by level, name, model and environment: those that are counted for the call.
    `answering` are the models whose deployments may answer, in the order of asking."""

    code: str
    key_id: str | None = None
    is_previous: bool = False
    would_deny: Where | None = None
    limits: Mapping[tuple[str, str, str | None, str | None], Data] = field(default_factory=dict)
    answering: tuple[str, ...] = ()


@dataclass(frozen=True)
class Found:
    """A key, with the team and the project it lives in."""

    team: Data
    project_name: str
    project: Data
    key: Data

    def levels(self, tree: Tree) -> Iterator[tuple[Where, str, Data]]:
        """Where it is said, by whom and what, the widest first; an environment after its level."""
        env = self.key.get("env")
        named = [
            ("org", tree.org.get("org", "default"), tree.org),
            ("team", self.team["team"], self.team),
            ("project", self.project_name, self.project),
            ("key", self.key["id"], self.key),
        ]
        for level, name, said in named:
            yield (level, None), name, said
            if env in said.get("environments", {}):
                yield (level, env), name, said["environments"][env]


def verdict(tree: Tree, api_key: str, alias: str, endpoint: str, now: float) -> Verdict:
    """What becomes of a call: "allowed" or the code of the refusal."""
    sha256 = sha256_hex(api_key)
    for found in _all_keys(tree):
        if found.key["sha256"] == sha256:
            return _of_key(tree, found, alias, endpoint, now)
        for old in found.key.get("previous", []):
            if old["sha256"] == sha256:
                if _is_over(old["valid_until"], tree, now):
                    return Verdict("key_expired", found.key["id"])
                return _of_key(tree, found, alias, endpoint, now, is_previous=True)
    return Verdict("invalid_api_key")


def _of_key(
    tree: Tree,
    found: Found,
    alias: str | None,
    endpoint: str,
    now: float,
    *,
    is_previous: bool = False,
) -> Verdict:
    key, models = found.key, tree.models["models"]
    said = list(found.levels(tree))
    if any(rules.get("blocked", False) for _, _, rules in said):
        return Verdict("key_blocked", key["id"])
    if "expires" in key and _is_over(key["expires"], tree, now):
        return Verdict("key_expired", key["id"])
    if endpoint in UNCHECKED:
        alias = _standing_for(tree, said, endpoint)
    if alias is None:
        return Verdict("endpoint_not_allowed", key["id"])
    if alias not in models:
        return Verdict("model_not_found", key["id"])
    if not _may_call(tree, said, alias) or endpoint not in _serves(tree, alias):
        may = _may_call(tree, said, alias)
        return Verdict("endpoint_not_allowed" if may else "model_not_allowed", key["id"])
    limits, denied = dict(_limits(tree, said, alias)), _would_deny(tree, said, alias)
    answering = (alias, *_fallbacks(tree, said, alias, endpoint))
    return Verdict("allowed", key["id"], is_previous, denied, limits, answering)


def _standing_for(tree: Tree, said: list[tuple[Where, str, Data]], endpoint: str) -> str | None:
    """Nothing in the call names a model: the one name that the key may use stands for it."""
    models = tree.models["models"]
    may = [m for m in models if endpoint in _serves(tree, m) and _may_call(tree, said, m)]
    return may[0] if len(may) == 1 else None


def _serves(tree: Tree, alias: str) -> list[str]:
    """By default what the dialects behind it are for."""
    model, defaults = tree.models["models"][alias], {"openai": "chat/completions"}
    behind = model.get("deployments", [model])
    dialects = [tree.providers["providers"][each["provider"]]["dialect"] for each in behind]
    served = [defaults.get(dialect, "messages") for dialect in dialects]
    stated: list[str] = model.get("endpoints", served)
    return stated


def _fallbacks(
    tree: Tree, said: list[tuple[Where, str, Data]], alias: str, endpoint: str
) -> Iterator[str]:
    """Those that the key may call, that serve the endpoint, and that no limit counts apart."""
    for name in tree.models["models"][alias].get("fallbacks", []):
        apart = any(
            (level == "alias" or model == name) and any(set(limits) - {"budget_mode"})
            for (level, _, model, _), limits in _limits(tree, said, name)
        )
        if _may_call(tree, said, name) and endpoint in _serves(tree, name) and not apart:
            yield name


def _all_keys(tree: Tree) -> Iterator[Found]:
    for team in tree.teams:
        for name, project in team.get("projects", {}).items():
            beside = [f for f in tree.keys if (f["team"], f["project"]) == (team["team"], name)]
            for keys in (project.get("keys", []), *(f.get("keys", []) for f in beside)):
                for key in keys:
                    yield Found(team, name, project, key)


def _is_over(end: date, tree: Tree, now: float) -> bool:
    zone = ZoneInfo(tree.org.get("time_zone", "UTC"))
    here = datetime.fromtimestamp(now, zone)
    if isinstance(end, datetime):
        return here.timestamp() >= (end if end.tzinfo else end.replace(tzinfo=zone)).timestamp()
    return here.date() > end


def _may_call(tree: Tree, said: list[tuple[Where, str, Data]], alias: str) -> bool:
    # "If no level says `allowed_models`, nothing is allowed": an environment only narrows.
    stated = [rules for (_, env), _, rules in said if env is None and "allowed_models" in rules]
    return bool(stated) and all(_permits(tree, rules, alias) for _, _, rules in said)


def _permits(tree: Tree, rules: Data, alias: str) -> bool:
    if _names(tree, rules.get("denied_models", []), alias):
        return False
    if "allowed_models" not in rules:
        return True
    if UNCHECKED.intersection(_serves(tree, alias)):
        return alias in rules["allowed_models"]  # by its name, never by what else selects it
    return _names(tree, rules["allowed_models"], alias)


def _names(tree: Tree, entries: list[str], alias: str) -> bool:
    """Whether any entry of a list stands for this alias."""
    return any(_stands_for(tree, entry, alias) for entry in entries)


def _stands_for(tree: Tree, entry: str, alias: str) -> bool:
    if entry.startswith("tag:"):
        return entry[4:] in tree.models["models"][alias].get("tags", [])
    if entry.startswith("group:"):
        return _names(tree, tree.models["groups"][entry[6:]], alias)
    return fnmatchcase(alias, entry)


def _would_deny(tree: Tree, said: list[tuple[Where, str, Data]], alias: str) -> Where | None:
    for where, _, rules in said:
        if "shadow" in rules and not _permits(tree, rules["shadow"], alias):
            return where
    return None


def _limits(
    tree: Tree, said: list[tuple[Where, str, Data]], alias: str
) -> Iterator[tuple[tuple[str, str, str | None, str | None], Data]]:
    for (level, env), name, rules in said:
        if rules.get("limits"):
            yield (level, name, None, env), rules["limits"]
        if rules.get("model_limits", {}).get(alias):
            yield (level, name, alias, None), rules["model_limits"][alias]
    if limits := tree.models["models"][alias].get("limits"):
        yield ("alias", alias, None, None), limits
