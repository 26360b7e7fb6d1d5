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
    SlotKind,
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
        """Input and output together."""
        return self.usage.input_tokens + self.usage.output_tokens

    @property
    def is_countable(self) -> bool:
        """Whether the ledger can reserve as much. A hostile body claims any number of pictures."""
        return max(self.tokens, self.cost) <= LARGEST_AMOUNT


def bound(snapshot: Snapshot, alias: Alias, size: RequestSize) -> Bound:
    """The worst case of a call of this size."""
    usage = worst_case(size, alias, snapshot.org)
    return Bound(usage, alias.price.cost(usage) if alias.price else 0)


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
        slots=claimed_slots(key.team, snapshot.scopes(key, alias)),
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
    return _by_slot(name, dict.fromkeys([*whole, *counted]))


def claimed_slots(team: str, scopes: Iterable[Scope]) -> tuple[SlotClaim, ...]:
    """The team's scopes always; org and alias live in other slots and cost a call each, so only
    where they have a limit."""
    beside = ("org", "alias")
    asked = (each for each in scopes if each.level not in beside or each.limits != NO_LIMITS)
    return _by_slot(team, asked)


def _by_slot(team: str, scopes: Iterable[Scope]) -> tuple[SlotClaim, ...]:
    """One claim a slot, the team's first."""
    slots: dict[Slot, list[ScopeClaim]] = {Slot("team", team): []}
    for scope in scopes:
        claims = slots.setdefault(_slot_of(team, scope), [])
        claims.append(ScopeClaim(scope_name(scope), scope.limits))
    return tuple(SlotClaim(slot, tuple(claims)) for slot, claims in slots.items())


def _slot_of(team: str, scope: Scope) -> Slot:
    beside: tuple[SlotKind, ...] = ("org", "alias")
    kind = next((kind for kind in beside if kind == scope.level), None)
    return Slot(kind, scope.name) if kind else Slot("team", team)


def scope_name(scope: Scope) -> str:
    """A scope's name in its slot: "key:web-1", "project:site", "team", "org", "alias"; limits for
    one model or one environment alone are scopes of their own, "key:web-1@gpt4_limited" and
    "team#staging"."""
    named = scope.level in ("key", "project")
    name = f"{scope.level}:{scope.name}" if named else scope.level
    if scope.env:
        return f"{name}#{scope.env}"
    return f"{name}@{scope.model}" if scope.model else name
