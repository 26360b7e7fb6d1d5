"""Calls that can cost more than any bound says."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ratelimit_service.size import RequestSize
from tollhouse.policy.compiled import Alias, Scope


@dataclass(frozen=True, slots=True)
class NotCovered:
    """A parameter whose cost nothing bounds, and the hard budget that may not be exceeded."""

    parameter: str
    scope: Scope

    @property
    def message(self) -> str:
        """For the caller: what stands in the way, and what to do."""
        return (
            f"`{self.parameter}` can cost more than the tokens of the call, and the budget of "
            f"{self.scope.where} is a hard one. Leave the parameter out, or ask "
            f"{self.scope.owner or 'the gateway operator'} for a soft budget there."
        )


def not_covered(
    size: RequestSize, asked: Iterable[Alias], scopes: Iterable[Scope]
) -> NotCovered | None:
    """Why the call is to be refused with `parameter_not_allowed`, None where it is not.

    `asked` are the aliases that may answer it, `scopes` all that it counts in (`Snapshot.scopes`);
    the first with a hard budget is named.
    """
    if size.unbounded is None and not size.continued:
        return None
    parameter = _unbounded(size, list(asked))
    if parameter is None:
        return None
    hard = (each for each in scopes if each.limits.has_budget and each.limits.budget_mode == "hard")
    scope = next(hard, None)
    return NotCovered(parameter, scope) if scope else None


def _unbounded(size: RequestSize, asked: list[Alias]) -> str | None:
    if size.unbounded == "service_tier" and all(_prices(each, size) for each in asked):
        return None
    if (
        size.unbounded is None
        and size.continued
        and any(not each.max_input_tokens for each in asked)
    ):
        return "previous_response_id"
    return size.unbounded


def _prices(alias: Alias, size: RequestSize) -> bool:
    """Whether the service tier that is asked for has a price of its own, whoever answers."""
    prices = [each.price for each in alias.deployments]
    return all(price and size.service_tier in dict(price.service_tiers) for price in prices)
