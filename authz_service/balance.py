"""Which deployments a call may be sent to, and in which order. Pure but for the draw."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from authz_service.verdicts import Granted
from tollhouse.policy.compiled import Alias, Deployment, Snapshot
from tollhouse.policy.ordering import may_fall_back

# One request may not become a storm at the providers.
MOST_ATTEMPTS = 8

Draw = Callable[[], float]
"""A number in [0, 1), each as likely as any other."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One deployment that may be asked. `rank`: lower ones are asked first. `alias` is whose it is:
    the one that was called, or a fallback of it."""

    alias: Alias
    deployment: Deployment
    rank: int


def candidates(snapshot: Snapshot, granted: Granted) -> tuple[Attempt, ...]:
    """All that may be asked, those of equal rank in the order of the policy.

    A fallback counts only where it serves the endpoint, and the caller may call it and escapes no
    limit by that (`may_fall_back`).
    """
    key, alias, endpoint = granted.key, granted.alias, granted.endpoint
    found = [
        Attempt(alias, each, each.order)
        for each in alias.deployments_for(endpoint)
        if granted.stored is None or each.provider == granted.stored.provider
    ]
    if granted.stored is None:
        for name in alias.fallbacks:
            fallback = snapshot.aliases[name]
            if fallback.serves(endpoint) and may_fall_back(snapshot, key, fallback):
                found += _after(found, fallback, endpoint)
    elif len(found) > 1:
        found = found[:1]
    return tuple(found)


def _after(found: Sequence[Attempt], fallback: Alias, endpoint: str) -> Iterator[Attempt]:
    last = max((each.rank for each in found), default=0)
    for each in fallback.deployments_for(endpoint):
        yield Attempt(fallback, each, last + each.order)


def in_order(found: Sequence[Attempt], draw: Draw) -> tuple[int, ...]:
    """The places of the candidates in the order in which they are asked: by rank, and within a rank
    each comes first with the chance of its weight (drawn again for what is left)."""
    left = sorted(range(len(found)), key=lambda place: found[place].rank)
    order: list[int] = []
    while left:
        rank = found[left[0]].rank
        equals = [place for place in left if found[place].rank == rank]
        chosen = equals[0] if len(equals) == 1 else _drawn(found, equals, draw)
        left.remove(chosen)
        order.append(chosen)
    return tuple(order[:MOST_ATTEMPTS])


def _drawn(found: Sequence[Attempt], places: Sequence[int], draw: Draw) -> int:
    point = draw() * sum(found[place].deployment.weight for place in places)
    for place in places:
        point -= found[place].deployment.weight
        if point < 0:
            return place
    return places[-1]
