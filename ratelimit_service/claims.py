"""From a policy and a request's size to what the ledger is asked for. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ratelimit_service.ledger.types import (
    LARGEST_AMOUNT,
    NO_LIMITS,
    Claim,
    ScopeClaim,
    Slot,
    SlotClaim,
    UsageRow,
)
from ratelimit_service.reservation import RequestSize, worst_case
from tollhouse.money import Usage
from tollhouse.policy.compiled import Alias, Key, Scope, Snapshot


@dataclass(frozen=True, slots=True)
class Bound:
    """The worst case of a call: tokens, and nano-dollars (0 for an unpriced alias)."""

    usage: Usage
    cost: int

    @property
    def tokens(self) -> int:
        """Input and output together, at most what the ledger counts exactly."""
        return min(self.usage.input_tokens + self.usage.output_tokens, LARGEST_AMOUNT)


def bound(snapshot: Snapshot, alias: Alias, size: RequestSize) -> Bound:
    """The worst case of a call of this size.

    A hostile body can claim thousands of pictures: past what the ledger counts exactly, it is
    simply the largest amount there is.
    """
    usage = worst_case(size, alias, snapshot.org)
    return Bound(usage, min(alias.price.cost(usage) if alias.price else 0, LARGEST_AMOUNT))


def claim(  # noqa: PLR0913 - the facts of one call, each once
    snapshot: Snapshot,
    key: Key,
    alias: Alias,
    worst: Bound,
    *,
    reservation_id: str,
    request_id: str,
    expected_cost: int,
) -> Claim:
    """The claim of a call; `expected_cost` is what soft budgets reserve, in nano-dollars."""
    org = snapshot.org
    return Claim(
        reservation_id=reservation_id,
        slots=_slots(snapshot.scopes(key, alias)),
        tokens=worst.tokens,
        cost=worst.cost,
        lease_seconds=org.reservation_lease_seconds,
        on_lost=org.on_lost_reservation,
        time_zone=org.time_zone,
        expected_cost=expected_cost,
        request_id=request_id,
        row=UsageRow(key.project, key.id, alias.name, org.usage_retention_days),
    )


def every_slot(snapshot: Snapshot) -> list[Slot]:
    """Every slot that a reservation under this policy can be in."""
    return [
        Slot("org", snapshot.org.name),
        *(Slot("team", name) for name in snapshot.teams),
        *(Slot("alias", name) for name in snapshot.aliases),
    ]


def team_slots(snapshot: Snapshot, name: str) -> tuple[SlotClaim, ...]:
    """Every scope that a team's calls count in, widest first. Raises KeyError."""
    team = snapshot.teams[name]
    keys = [key for key in snapshot.keys.values() if key.team == name]
    whole = [
        Scope("team", name, team.limits, team.owner),
        *(Scope("project", each.name, each.limits, team.owner) for each in team.projects.values()),
        *(Scope("key", key.id, key.limits, team.owner) for key in keys),
    ]
    counted = [
        scope
        for key in keys
        for alias in sorted(key.models)
        for scope in snapshot.scopes(key, snapshot.aliases[alias])
    ]
    in_team = dict.fromkeys([*whole, *(each for each in counted if each.model)])
    beside = dict.fromkeys(each for each in counted if each.level in ("org", "alias"))
    return (
        SlotClaim(Slot("team", name), _scope_claims(in_team)),
        *(SlotClaim(_slot_of(scope), _scope_claims([scope])) for scope in beside),
    )


def _slots(scopes: tuple[Scope, ...]) -> tuple[SlotClaim, ...]:
    """The team's scopes always; org and alias live in other slots and cost a call each, so only
    where they have a limit."""
    team = next(scope.name for scope in scopes if scope.level == "team")
    in_team = [scope for scope in scopes if scope.level not in ("org", "alias")]
    beside = [scope for scope in scopes if scope.level in ("org", "alias")]
    return (
        SlotClaim(Slot("team", team), _scope_claims(in_team)),
        *(
            SlotClaim(_slot_of(scope), _scope_claims([scope]))
            for scope in beside
            if scope.limits != NO_LIMITS
        ),
    )


def _slot_of(scope: Scope) -> Slot:
    return Slot("org" if scope.level == "org" else "alias", scope.name)


def _scope_claims(scopes: Iterable[Scope]) -> tuple[ScopeClaim, ...]:
    return tuple(ScopeClaim(scope_name(scope), scope.limits) for scope in scopes)


def scope_name(scope: Scope) -> str:
    """A scope's name in its slot: "key:web-1", "project:site", "team", "org", "alias"; limits for
    one model alone are a scope of their own, "key:web-1@gpt4_limited"."""
    named = scope.level in ("key", "project")
    name = f"{scope.level}:{scope.name}" if named else scope.level
    return f"{name}@{scope.model}" if scope.model else name
