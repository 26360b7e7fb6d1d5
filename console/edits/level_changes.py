"""What a team and a project say after a POST or a PATCH, held to the levels above."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from console.edits import narrowing
from console.edits.bounds import above_project, above_team, limits_of, selected, written
from console.edits.data import Data, full, merged
from console.edits.key_changes import merged_limits, merged_model_limits, model_limits
from console.edits.narrowing import Bound
from console.edits.policy import Policy
from console.problems import ManageError
from console.shapes.levels import Environment, LevelCreate, LevelPatch
from tollhouse.policy.problems import suggestion

_OF_LEVEL = ("owner", "blocked", "allowed_models", "denied_models")


def created(asked: LevelCreate) -> Data:
    """In the order in which people read them."""
    return full(
        {
            "owner": getattr(asked, "owner", None),
            "blocked": asked.blocked or None,
            "limits": full(asked.limits.asked),
            "model_limits": merged_model_limits({}, asked.model_limits),
            "allowed_models": asked.allowed_models,
            "denied_models": asked.denied_models,
            "environments": _environments({}, asked.environments),
        }
    )


def changed(old: Data, asked: LevelPatch) -> Data:
    """The definition after a PATCH."""
    new, said = dict(old), asked.asked
    new |= {name: said[name] for name in _OF_LEVEL if name in said}
    if not new.get("blocked"):
        new["blocked"] = None
    if "limits" in said:
        new["limits"] = merged_limits(old.get("limits", {}), asked.limits)
    if "model_limits" in said:
        new["model_limits"] = merged_model_limits(old.get("model_limits", {}), asked.model_limits)
    if "environments" in said:
        new["environments"] = _environments(old.get("environments", {}), asked.environments)
    return full(new)


def require_within_org(policy: Policy, team: Data, fields: Collection[str]) -> None:
    """Raises ManageError `exceeds_level`, `invalid_request`."""
    _require(policy, team, fields, above_team(policy))
    for env, rules in _asked_environments(policy, team, fields):
        own = [*above_team(policy, env), written(policy, "team", team["team"], team)]
        _require(policy, rules, list(rules), own, f"environments.{env}.")


def require_within_team(
    policy: Policy, team: str, project: str, data: Data, fields: Collection[str]
) -> None:
    """Raises ManageError `exceeds_level`, `invalid_request`."""
    _require(policy, data, fields, above_project(policy, team))
    for env, rules in _asked_environments(policy, data, fields):
        own = [*above_project(policy, team, env), written(policy, "project", project, data)]
        _require(policy, rules, list(rules), own, f"environments.{env}.")


def _require(
    policy: Policy, data: Data, fields: Collection[str], bounds: list[Bound], at: str = ""
) -> None:
    if "allowed_models" in fields and data.get("allowed_models") is not None:
        param = f"{at}allowed_models"
        models = selected(policy.selectors, data["allowed_models"], param)
        narrowing.require_models(bounds, models, param)
    if "denied_models" in fields:
        selected(policy.selectors, data.get("denied_models", []), f"{at}denied_models")
    if "limits" in fields:
        narrowing.require_limits(bounds, limits_of(data.get("limits")), f"{at}limits")
    if "model_limits" in fields:
        asked = model_limits(policy, data)
        narrowing.require_model_limits(bounds, asked, f"{at}model_limits")


def _asked_environments(
    policy: Policy, data: Data, fields: Collection[str]
) -> list[tuple[str, Data]]:
    environments: Data = data.get("environments", {}) if "environments" in fields else {}
    declared = policy.tree.org.model.environments
    for env in environments:
        if env not in declared:
            hint = suggestion(env, declared) or ": org.yaml names none"
            message = f"unknown environment in 'environments'{hint}"
            raise ManageError("invalid_request", message, param="environments")
    return list(environments.items())


def _environments(old: Data, asked: dict[str, Environment | None] | None) -> Data:
    if asked is None:
        return {}
    changes: dict[str, Any] = {
        name: None if rules is None else _rules(rules) for name, rules in asked.items()
    }
    return merged(old, changes)


def _rules(rules: Environment) -> Data:
    return full(
        {
            "blocked": rules.blocked or None,
            "limits": full(rules.limits.asked),
            "allowed_models": rules.allowed_models,
            "denied_models": rules.denied_models,
        }
    )
