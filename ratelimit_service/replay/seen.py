"""The slots that a replay of logs meets, and what the ledger knows of their past.

Before lines are settled that are older than their slot, the slot notes it: a later rebuild must not
add them once more, when the ledger has forgotten which ones they were.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ratelimit_service.ledger.ids import id_millis
from ratelimit_service.ledger.ledger import Ledger
from ratelimit_service.ledger.past import SlotPast
from ratelimit_service.ledger.types import Settlement, Slot


class SeenSlots:
    """One per run. Its methods raise LedgerUnavailable, and may be repeated."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._pasts: dict[Slot, SlotPast] = {}

    def __getitem__(self, slot: Slot) -> SlotPast:
        return self._pasts[slot]

    @property
    def births(self) -> dict[str, int]:
        """When each slot was first used, epoch ms, by its tag ("team:marketing")."""
        return {slot.tag: past.born_ms for slot, past in self._pasts.items()}

    async def look(self, slots: Iterable[Slot]) -> None:
        """Ask about those that are new."""
        new = dict.fromkeys(slot for slot in slots if slot not in self._pasts)
        self._pasts |= await self._ledger.pasts(new)

    async def prepare(self, wanted: Sequence[Settlement]) -> None:
        """Ask about their slots, and note what is about to be settled in those younger than it."""
        await self.look(slot for each in wanted for slot, _ in each.slots)
        oldest: dict[Slot, int] = {}
        for each in wanted:
            made_ms = id_millis(each.reservation_id)
            for slot, _ in each.slots:
                if self._pasts[slot].must_note(made_ms):
                    oldest[slot] = min(made_ms, oldest.get(slot, made_ms))
        self._pasts |= await self._ledger.pasts(oldest)
