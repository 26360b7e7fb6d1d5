"""What the bounds of calls depend on in an alias, worked out once for a policy. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass

from tollhouse.money import Price
from tollhouse.policy.compiled import Alias, Org, Snapshot


@dataclass(frozen=True, slots=True)
class Terms:
    """An alias as `reservation` reads it.

    `prices` are those of its deployments, each once; `dearer` the counts of `Usage` that cost more
    than the total they are part of, at any of them. `added` are the names that its defaults put
    into a body, `added_bytes` the most that they take; `service_tier` is the tier among them, empty
    where there is none. `unstated_output` bounds the output tokens of a choice where the client
    states no cap.
    """

    alias: Alias
    prices: tuple[Price, ...]
    dearer: frozenset[str]
    added: frozenset[str]
    added_bytes: int
    service_tier: str
    unstated_output: int

    def has(self, told: bool, *names: str) -> bool:
        """Whether the body that is sent has such a parameter: the client's, or a default."""
        return told or not self.added.isdisjoint(names)


def terms_of(alias: Alias, org: Org) -> Terms:
    """The terms of one alias."""
    prices = tuple(dict.fromkeys(each.price for each in alias.deployments if each.price))
    defaults = alias.defaults
    return Terms(
        alias,
        prices,
        dearer=frozenset().union(*(price.dearer_parts() for price in prices)),
        added=frozenset(defaults),
        # `,"name":value` each.
        added_bytes=sum(len(name) + len(text.encode()) + 4 for name, text in defaults.items()),
        service_tier=str(json.loads(defaults.get("service_tier", '""'))),
        unstated_output=alias.max_output_tokens or org.default_max_output_tokens,
    )


def answering(snapshot: Snapshot, alias: Alias) -> tuple[Alias, ...]:
    """The aliases whose deployments may answer a call: its own, then the fallbacks."""
    return (alias, *(snapshot.aliases[name] for name in alias.fallbacks))


def all_terms(snapshot: Snapshot, alias: Alias) -> tuple[Terms, ...]:
    """Those of every alias that may answer a call of this one, its own first."""
    return tuple(terms_of(each, snapshot.org) for each in answering(snapshot, alias))
