"""Restores the spend of a month into a ledger that came back empty, from access logs alone.

What is young is settled line by line, which the ledger does once. What is older than its memory of
settlements is summed up here and added to each slot in one step, which it does once a month. The
border between the two is fixed by the first run, so that one which was stopped can be run again.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from ratelimit_service.ledger.ids import id_millis
from ratelimit_service.ledger.ledger import Ledger
from ratelimit_service.ledger.periods import periods_at
from ratelimit_service.ledger.types import Settlement, Slot, SlotTotals, UsageRow
from ratelimit_service.replay.checkpoint import Checkpoint
from ratelimit_service.replay.reconcile import Reconcile, Summary
from tollhouse.access_log import logs
from tollhouse.access_log.logs import Read
from tollhouse.policy.compiled import Org

# Of the three days for which the ledger charges what it does not know, half a day is left for runs
# that were stopped.
_SETTLED_MS = 60 * 3_600_000


class NothingLost(Exception):
    """The ledger is older than the month; the message says what to do instead."""


@dataclass(slots=True)
class Rebuilt:
    """What a run did: of the lines it settled, and of the nano-dollars it restored by team.

    `summed` lines were added as sums, `restored` slots took them now; the others had them before.
    """

    settled: Summary
    summed: int = 0
    restored: int = 0
    before: int = 0
    teams: Counter[str] = field(default_factory=Counter)


class Rebuild:
    """One run for one month (`YYYY-MM`); `read` and `patience` are as for Reconcile."""

    def __init__(self, ledger: Ledger, org: Org, month: str, read: Read, patience: float) -> None:
        self._ledger = ledger
        self._org = org
        self._month = month
        self._totals: dict[Slot, SlotTotals] = {}
        self._border = 0
        checkpoint = Checkpoint(None)
        self._reconcile = Reconcile(ledger, org, checkpoint, read, patience, take=self._take)
        self._rebuilt = Rebuilt(self._reconcile.summary)

    async def run(self, paths: list[Path]) -> Rebuilt:
        """Raises NothingLost, LogError, LedgerUnavailable."""
        _require_distinct(paths)
        identity = await self._ledger.identity()
        if periods_at(self._org.time_zone, identity.born_ms // 1000).month < self._month:
            raise NothingLost(f"the ledger was there before {self._month} began: use reconcile")
        border = await self._ledger.rebuild_border(self._month, _SETTLED_MS)
        self._border = min(border, identity.born_ms)
        await self._reconcile.run(paths)
        for slot, totals in self._totals.items():
            if await self._ledger.restore(slot, self._month, totals):
                self._rebuilt.restored += 1
                self._rebuilt.teams.update(_of_team(slot, totals))
            else:
                self._rebuilt.before += 1
        return self._rebuilt

    def _take(self, settlement: Settlement) -> bool:
        """Whether a line is no business of the settling: of another month, or to be summed."""
        made_ms = id_millis(settlement.reservation_id)
        at = periods_at(self._org.time_zone, made_ms // 1000)
        if at.month != self._month:
            return True
        if made_ms >= self._border:
            return False
        self._rebuilt.summed += 1
        for slot, scopes in settlement.slots:
            totals = self._totals.setdefault(slot, SlotTotals())
            for scope in scopes:
                totals.counters["week", at.week, scope] += settlement.cost
                totals.counters["month", at.month, scope] += settlement.cost
            if settlement.row and slot.kind == "team":
                _add_usage(totals, settlement, settlement.row, at.day)
        return True


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
        log = logs.fingerprint(path)
        if log and log in seen:
            raise logs.LogError(f"{path} is the same log as {seen[log]}: give each one once")
        if log:
            seen[log] = path
