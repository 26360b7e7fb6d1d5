"""Restores the spend of a month into slots that came back empty, from access logs alone.

Every line is settled: what the ledger remembers changes nothing, what is young is charged. It tells
what is too old for that. Of those, what is older than a slot is summed up here and added to it in
one step, which it does once a month; a slot that was there when the call was made has it already.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from ratelimit_service.ledger.ids import id_millis
from ratelimit_service.ledger.ledger import Ledger
from ratelimit_service.ledger.periods import Periods, periods_at
from ratelimit_service.ledger.types import (
    COUNTED_ONLY,
    Settlement,
    SettleOutcome,
    Slot,
    SlotTotals,
    UsageRow,
)
from ratelimit_service.replay.checkpoint import Checkpoint
from ratelimit_service.replay.reconcile import Reconcile, Summary
from tollhouse.access_log import logs
from tollhouse.access_log.logs import Read
from tollhouse.policy.compiled import Org


@dataclass(slots=True)
class Rebuilt:
    """What a run did: of the lines it settled, and of the nano-dollars it restored by team.

    Of the lines too old to settle, `summed` were added as sums, `kept` are in slots that were there
    all along, and `unclear` were left: a run of long ago may have settled them, which is forgotten.
    `restored` slots took their sums now, `before` had them before. `late` slots took sums though
    they may have forgotten what they settled first.
    """

    settled: Summary
    summed: int = 0
    kept: int = 0
    unclear: int = 0
    restored: int = 0
    before: int = 0
    late: int = 0
    teams: Counter[str] = field(default_factory=Counter)

    @property
    def complete(self) -> bool:
        """Whether all that was lost is restored, as far as the logs go."""
        return self.settled.complete and not self.unclear


class Rebuild:
    """One run for one month (`YYYY-MM`); `read` and `patience` are as for Reconcile."""

    def __init__(self, ledger: Ledger, org: Org, month: str, read: Read, patience: float) -> None:
        self._ledger = ledger
        self._org = org
        self._month = month
        self._totals: dict[Slot, SlotTotals] = {}
        self._reconcile = Reconcile(
            *(ledger, org, Checkpoint(None), read, patience), wanted=self._wanted, told=self._told
        )
        self._rebuilt = Rebuilt(self._reconcile.summary)

    async def run(self, paths: list[Path]) -> Rebuilt:
        """Raises LogError, LedgerUnavailable. Nothing is added while a log is damaged: what it
        lacks could not be added later."""
        _require_distinct(paths)
        summary = await self._reconcile.run(paths)
        del summary.outcomes[SettleOutcome.TOO_OLD]  # told apart by `_told`
        if not summary.damaged:
            for slot, totals in self._totals.items():
                await self._restore(slot, totals)
        return self._rebuilt

    async def _restore(self, slot: Slot, totals: SlotTotals) -> None:
        if not await self._ledger.restore(slot, self._month, totals):
            self._rebuilt.before += 1
            return
        self._rebuilt.restored += 1
        self._rebuilt.late += self._reconcile.slots[slot].late
        self._rebuilt.teams.update(_of_team(slot, totals))

    def _wanted(self, settlement: Settlement) -> bool:
        return self._periods(settlement).month == self._month

    def _told(self, settlement: Settlement, done: tuple[SettleOutcome, ...]) -> None:
        """Each slot decides for itself: a cluster may have lost one of them and not the others."""
        made_ms = id_millis(settlement.reservation_id)
        fates: set[str] = set()
        for (slot, scopes), outcome in zip(settlement.slots, done, strict=True):
            if outcome is not SettleOutcome.TOO_OLD:
                continue
            past = self._reconcile.slots[slot]
            if past.kept(made_ms):
                fates.add("kept")
            elif past.unclear(made_ms):
                fates.add("unclear")
            else:
                fates.add("summed")
                self._sum_up(settlement, slot, scopes)
        self._rebuilt.summed += "summed" in fates
        self._rebuilt.unclear += "unclear" in fates
        self._rebuilt.kept += fates == {"kept"}

    def _sum_up(self, settlement: Settlement, slot: Slot, scopes: tuple[str, ...]) -> None:
        at = self._periods(settlement)
        totals = self._totals.setdefault(slot, SlotTotals())
        for scope in (each.removesuffix(COUNTED_ONLY) for each in scopes):
            totals.counters["week", at.week, scope] += settlement.cost
            totals.counters["month", at.month, scope] += settlement.cost
        if settlement.row and slot.kind == "team":
            _add_usage(totals, settlement, settlement.row, at.day)

    def _periods(self, settlement: Settlement) -> Periods:
        return periods_at(self._org.time_zone, id_millis(settlement.reservation_id) // 1000)


def _add_usage(totals: SlotTotals, settlement: Settlement, row: UsageRow, day: str) -> None:
    took = settlement.usage
    tokens = (took.input_tokens, took.output_tokens, took.cached_input_tokens)
    sums = totals.usage.setdefault((row, day), [0] * 6)
    for place, amount in enumerate((1, *tokens, settlement.cost, took.errors)):
        sums[place] += amount


def _of_team(slot: Slot, totals: SlotTotals) -> dict[str, int]:
    spent = sum(
        nano
        for (kind, _, scope), nano in totals.counters.items()
        if (kind, scope) == ("month", "team")
    )
    return {slot.name: spent} if slot.kind == "team" else {}


def _require_distinct(paths: list[Path]) -> None:
    """A log that is given twice, once as a copy, would be summed twice."""
    seen: dict[str, Path] = {}
    for path in paths:
        log = None
        with contextlib.suppress(logs.LogError):  # which is told when it is read
            log = logs.fingerprint(path)
        if log and log in seen:
            raise logs.LogError(f"{path} is the same log as {seen[log]}: give each one once")
        if log:
            seen[log] = path
