"""From a policy and a request's size to what the ledger is asked for. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ratelimit_service.ledger.types import (
    LARGEST_AMOUNT,
    NO_LIMITS,
    ScopeClaim,
    Slot,
    SlotClaim,
    SlotKind,
)
from ratelimit_service.reservation import widest
from ratelimit_service.size import RequestSize
from ratelimit_service.terms import Terms
from tollhouse.money import Usage
from tollhouse.policy.compiled import Alias, Key, Scope, Snapshot


@dataclass(frozen=True, slots=True)
class Bound:
    """The worst case of a call: counts, and nano-dollars (0 for an unpriced alias)."""

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


def bound(answering: Sequence[Terms], size: RequestSize) -> Bound:
    """The worst case of a call of this size; the terms are those of `terms.all_terms`."""
    return Bound(*widest(answering, size))


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
    by_slot = _by_slot(name, dict.fromkeys([*whole, *counted]))
    return tuple(SlotClaim(slot, claims) for slot, claims in by_slot.items())


def claimed_slots(snapshot: Snapshot, key: Key, alias: Alias) -> tuple[SlotClaim, ...]:
    """Every scope that a call counts in, the team's slot first.

    The key, its project and its team are always reserved in; the others where they have a limit.
    Org and alias live in other slots: a call that waited for these without need would depend on
    them.
    """
    scopes = snapshot.scopes(key, alias)
    always = scopes[:3]
    asked = _by_slot(key.team, [s for s in scopes if s in always or s.limits != NO_LIMITS])
    return tuple(
        SlotClaim(slot, claims, _without(names, claims))
        for slot, names in _every_scope(key, snapshot.org.name, alias.name).items()
        for claims in [asked.get(slot, ())]
    )


def _every_scope(key: Key, org: str, alias: str) -> dict[Slot, tuple[str, ...]]:
    """The names of all scopes that a call counts in, whatever has a limit: see `scope_name`."""
    own, project = f"key:{key.id}", f"project:{key.project}"
    of_team = [own, project, "team", f"{own}@{alias}", f"{project}@{alias}", f"team@{alias}"]
    of_org = ["org"]
    if key.env:
        of_team += [f"{project}#{key.env}", f"team#{key.env}"]
        of_org += [f"org#{key.env}"]
    return {
        Slot("team", key.team): tuple(of_team),
        Slot("org", org): tuple(of_org),
        Slot("alias", alias): ("alias",),
    }


def _without(names: tuple[str, ...], claims: tuple[ScopeClaim, ...]) -> tuple[str, ...]:
    taken = {each.scope for each in claims}
    return tuple(name for name in names if name not in taken)


def _by_slot(team: str, scopes: Iterable[Scope]) -> dict[Slot, tuple[ScopeClaim, ...]]:
    """The claims of each slot, the team's first."""
    slots: dict[Slot, list[ScopeClaim]] = {Slot("team", team): []}
    for scope in scopes:
        claims = slots.setdefault(_slot_of(team, scope), [])
        claims.append(ScopeClaim(scope_name(scope), scope.limits))
    return {slot: tuple(claims) for slot, claims in slots.items()}


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
