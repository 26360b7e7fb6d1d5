"""What a key says after a PATCH, held to the levels above it."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from console.actors import Actor
from console.edits import narrowing
from console.edits.bounds import above_key, limits_of, selected
from console.edits.data import Data, full, merged, of_key
from console.edits.ends import end
from console.edits.metadata import Meant, meant
from console.edits.policy import KeyEntry, Policy
from console.problems import ManageError
from console.shapes.keys import KeyPatch
from console.shapes.limits import Limits
from tollhouse.keyring.actions import BLOCKED_BY, REASON
from tollhouse.policy.compiled import Limits as CompiledLimits
from tollhouse.policy.problems import suggestion

_KEPT = (REASON, BLOCKED_BY)


def changed(policy: Policy, actor: Actor, entry: KeyEntry, asked: KeyPatch, now: datetime) -> Data:
    """Raises ManageError `invalid_request`, `exceeds_level`."""
    old, said = of_key(entry.key), meant(asked)
    new = full(_merged(old, asked, said, now))
    if "env" in said.asked:
        require_env(policy, new.get("env"))
    # In another environment other bounds hold for all that the key says already.
    touched = set(asked.asked) | set(said.asked)
    everything = {"allowed_models", "denied_models", "limits", "model_limits"}
    require_within(
        policy, actor, entry.team, entry.project, new, everything if "env" in touched else touched
    )
    return new


def require_env(policy: Policy, env: str | None) -> None:
    """That a key is in one of the environments there are, if there are any.

    Raises:
        ManageError: `invalid_request`, naming them.
    """
    declared = sorted(policy.tree.org.model.environments)
    if not declared or env in declared:
        return
    if env is None:
        message = f"the field 'env' is missing: one of {', '.join(declared)}"
    else:
        message = f"there is no such environment{suggestion(env, declared)}"
    raise ManageError("invalid_request", message, param="env")


def require_within(  # noqa: PLR0913, PLR0917 - whose key, where, and which of its fields
    policy: Policy, actor: Actor, team: str, project: str, key: Data, fields: Collection[str]
) -> None:
    """That what these fields of a key say is within the levels above.

    Raises:
        ManageError: `exceeds_level`; `invalid_request` for names that are none.
    """
    bounds = above_key(policy, team, project, key.get("env"))
    allowed = key.get("allowed_models")
    if "allowed_models" in fields and allowed is not None:
        _require_granted(actor, bounds)
        models = selected(policy.selectors, allowed, "allowed_models")
        narrowing.require_models(bounds, models, "allowed_models")
    if "denied_models" in fields:
        selected(policy.selectors, key.get("denied_models", []), "denied_models")
    if "limits" in fields:
        narrowing.require_limits(bounds, limits_of(key.get("limits")), "limits")
    if "model_limits" in fields:
        narrowing.require_model_limits(bounds, model_limits(policy, key), "model_limits")


def model_limits(policy: Policy, data: Data) -> dict[str, CompiledLimits]:
    """Compiled. Raises ManageError `invalid_request` for an alias that there is not."""
    written: Data = data.get("model_limits", {})
    aliases = policy.tree.models.model.models
    for alias in written:
        if alias not in aliases:
            message = f"unknown model in 'model_limits'{suggestion(alias, aliases)}"
            raise ManageError("invalid_request", message, param="model_limits")
    return {alias: limits_of(limits) for alias, limits in written.items()}


def merged_limits(old: Data, asked: Limits | Data | None) -> Data:
    """Limits as written, after a PATCH of them; null for the whole removes all."""
    if asked is None:
        return {}
    return merged(old, asked.asked if isinstance(asked, Limits) else asked)


def merged_model_limits(old: Data, asked: dict[str, Limits | None] | None) -> Data:
    """By alias; null removes those of one."""
    if asked is None:
        return {}
    changes = {
        alias: None if limits is None else merged_limits(old.get(alias, {}), limits)
        for alias, limits in asked.items()
    }
    return full(merged(old, changes))


def _merged(old: Data, asked: KeyPatch, said: Meant, now: datetime) -> Data:
    new = dict(old)
    for name in {"allowed_models", "denied_models"} & asked.model_fields_set:
        new[name] = getattr(asked, name)
    if "env" in said.asked:
        new["env"] = said.asked["env"]
    if "expires" in asked.model_fields_set:
        new["expires"] = None if asked.expires is None else end(asked.expires, now)
    if "limits" in said.asked:
        new["limits"] = merged_limits(old.get("limits", {}), said.asked["limits"])
    if "model_limits" in asked.model_fields_set:
        new["model_limits"] = merged_model_limits(old.get("model_limits", {}), asked.model_limits)
    if "metadata" in asked.model_fields_set:
        new["metadata"] = _metadata(old.get("metadata", {}), said.metadata)
    return new


def _metadata(old: Data, asked: Data | None) -> Data:
    if asked is not None:
        return merged(old, asked)
    return {name: value for name, value in old.items() if name in _KEPT}


def _require_granted(actor: Actor, bounds: list[narrowing.Bound]) -> None:
    if actor.role == "team-lead" and not narrowing.grants(bounds):
        message = (
            "no level above the key says which models are allowed, so its own list would grant"
            " them, which a team-lead cannot: ask for a list at the project or the team"
        )
        raise ManageError("exceeds_level", message, param="allowed_models")
