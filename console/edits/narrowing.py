"""Whether what is asked for stays within the levels above. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from console.problems import ManageError
from console.shapes.base import as_number
from tollhouse.policy.compiled import Limits, ModelRule
from tollhouse.policy.limit_words import Stated, stated

_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Bound:
    """What one level above, or an environment of it, says."""

    rule: ModelRule
    limits: Limits
    model_limits: Mapping[str, Limits] = field(default_factory=dict)


def grants(bounds: Iterable[Bound]) -> bool:
    """Whether a level says what is allowed; environments only narrow."""
    return any(bound.rule.allowed is not None and bound.rule.env is None for bound in bounds)


def require_models(
    bounds: Iterable[Bound], asked: Mapping[str, frozenset[str]], param: str
) -> None:
    """`asked` has the entries of a list and the aliases that each stands for.

    Raises:
        ManageError: `exceeds_level`, for the widest level that does not let one pass.
    """
    wanted = frozenset[str]().union(*asked.values())
    for bound in bounds:
        beyond = sorted(alias for alias in wanted if not bound.rule.permits(alias))
        if beyond:
            entries = [entry for entry, aliases in asked.items() if aliases.intersection(beyond)]
            raise _models(bound.rule, beyond, entries, param)


def require_limits(bounds: Iterable[Bound], asked: Limits, param: str) -> None:
    """`bounds` begin with the widest.

    Raises:
        ManageError: `exceeds_level`, for the level that has least; of two, the nearer one.
    """
    nearest = list(bounds)[::-1]
    above = [(bound.rule, limit) for bound in nearest for limit in stated(bound.limits)]
    _require(above, asked, param)


def require_model_limits(bounds: Iterable[Bound], asked: Mapping[str, Limits], param: str) -> None:
    """As `require_limits`: against a level's limits for that alias, and those for all."""
    nearest = list(bounds)[::-1]
    for alias, limits in asked.items():
        above = [
            (bound.rule, limit)
            for bound in nearest
            for some in (bound.model_limits.get(alias, Limits()), bound.limits)
            for limit in stated(some)
        ]
        _require(above, limits, f"{param}.{alias}")


def _require(above: list[tuple[ModelRule, Stated]], asked: Limits, param: str) -> None:
    for more in stated(asked):
        of_field = [pair for pair in above if pair[1].field == more.field]
        rule, least = min(of_field, key=lambda pair: pair[1].amount, default=(None, more))
        if rule is not None and more.amount > least.amount:
            raise _limit(rule, least, more, f"{param}.{more.field}")


def _models(rule: ModelRule, beyond: list[str], entries: list[str], param: str) -> ManageError:
    named = [f"'{alias}'" for alias in beyond[:_SHOWN]]
    more = f" and {len(beyond) - _SHOWN} more" if len(beyond) > _SHOWN else ""
    denied = all(alias in rule.denied for alias in beyond)
    says = "denies" if denied else "does not allow"
    message = f"{rule.where} {says} {', '.join(named)}{more}: ask for less, or change it there"
    details = {**_level(rule), "models": beyond, "entries": entries}
    return ManageError("exceeds_level", message, param=param, details=details)


def _limit(rule: ModelRule, limit: Stated, more: Stated, param: str) -> ManageError:
    message = (
        f"{limit.field} {more.number} is more than {rule.where} has, {limit.words}:"
        " ask for less, or change it there"
    )
    details = {
        **_level(rule),
        "field": limit.field,
        "limit": number_of(limit),
        "asked": number_of(more),
    }
    return ManageError("exceeds_level", message, param=param, details=details)


def number_of(limit: Stated) -> int | float:
    """A count, or USD, as JSON has numbers."""
    return as_number(Decimal(limit.value))


def _level(rule: ModelRule) -> dict[str, Any]:
    env = {} if rule.env is None else {"env": rule.env}
    return {"level": rule.level, "name": rule.name, **env}
