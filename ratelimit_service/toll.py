"""What all calls of one key for one alias have in common, worked out once for a policy. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from ratelimit_service.claims import Bound, claimed_slots
from ratelimit_service.ledger.types import Claim, SlotClaim, UsageRow
from ratelimit_service.settlement import format_slot
from ratelimit_service.terms import Terms, all_terms, answering
from tollhouse.policy.compiled import Alias, Key, Scope, Snapshot

# Some 3 kB each. Of more keys and aliases than that, the oldest are worked out again.
_MOST_KEPT = 8_192


@dataclass(frozen=True, slots=True)
class Toll:
    """One key and one alias, as one policy has them.

    `scopes` are those they count in, `answering` the aliases that may answer them, with their
    `terms`; `slots` are claimed for each call, and `slot_names` is how `format_slot` writes them.
    """

    snapshot: Snapshot
    key: Key
    alias: Alias
    scopes: tuple[Scope, ...]
    answering: tuple[Alias, ...]
    terms: tuple[Terms, ...]
    slots: tuple[SlotClaim, ...]
    slot_names: tuple[str, ...]
    row: UsageRow


def toll_of(snapshot: Snapshot, key: Key, alias: Alias) -> Toll:
    """Works it out. Raises KeyError if the key is not of this snapshot."""
    slots = claimed_slots(snapshot, key, alias)
    return Toll(
        snapshot,
        key,
        alias,
        scopes=snapshot.scopes(key, alias),
        answering=answering(snapshot, alias),
        terms=all_terms(snapshot, alias),
        slots=slots,
        slot_names=tuple(map(format_slot, slots)),
        row=UsageRow(key.project, key.id, alias.name, snapshot.org.usage_retention_days),
    )


def claim(
    toll: Toll, worst: Bound, *, reservation_id: str, request_id: str, expected_cost: int
) -> Claim:
    """The claim of a call; `expected_cost` is what soft budgets reserve, in nano-dollars."""
    org = toll.snapshot.org
    return Claim(
        reservation_id=reservation_id,
        slots=toll.slots,
        tokens=worst.tokens,
        cost=worst.cost,
        lease_seconds=org.reservation_lease_seconds,
        on_lost=org.on_lost_reservation,
        time_zone=org.time_zone,
        expected_cost=expected_cost,
        request_id=request_id,
        row=toll.row,
    )


class Tolls:
    """Those of one snapshot, worked out as calls ask for them."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self._kept: dict[tuple[str, str], Toll] = {}

    def find(self, key_id: str, alias: str) -> Toll | None:
        """None where the snapshot has no such key, or no such alias."""
        return self._kept.get((key_id, alias)) or self._keep(key_id, alias)

    def _keep(self, key_id: str, alias: str) -> Toll | None:
        key, called = self.snapshot.keys.get(key_id), self.snapshot.aliases.get(alias)
        if key is None or called is None:
            return None
        if len(self._kept) >= _MOST_KEPT:
            del self._kept[next(iter(self._kept))]
        toll = self._kept[key_id, alias] = toll_of(self.snapshot, key, called)
        return toll
