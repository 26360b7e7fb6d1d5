"""Which deployments a call may be sent to, and in which order. Pure but for the draw."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from authz_service.verdicts import Granted
from tollhouse.policy.compiled import Alias, Deployment, Key, Snapshot
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
    alias, endpoint, stored = granted.alias, granted.endpoint, granted.stored
    if stored is None:
        names = fallbacks_of(snapshot, granted.key, alias, endpoint)
        return chain(alias, endpoint, tuple(snapshot.aliases[name] for name in names))
    kept = (a for a in chain(alias, endpoint, ()) if a.deployment.provider == stored.provider)
    return tuple(islice(kept, 1))


def fallbacks_of(snapshot: Snapshot, key: Key, alias: Alias, endpoint: str) -> tuple[str, ...]:
    """The names of the alias's fallbacks that count for this key and endpoint."""
    return tuple(
        name
        for name in alias.fallbacks
        if snapshot.aliases[name].serves(endpoint)
        and may_fall_back(snapshot, key, snapshot.aliases[name])
    )


def chain(alias: Alias, endpoint: str, fallbacks: Iterable[Alias]) -> tuple[Attempt, ...]:
    """The deployments of the alias, then those of each fallback, as far as they serve this."""
    found = [Attempt(alias, each, each.order) for each in alias.deployments_for(endpoint)]
    for fallback in fallbacks:
        found += _after(found, fallback, endpoint)
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
