"""Counts refusals for the history, and hands them to the ledger a second's worth at a time.

A flood of refused calls then costs Redis one write a second for each key, alias and code.
"""

from __future__ import annotations

import logging
from collections import Counter

from ratelimit_service.ledger.errors import LedgerError
from ratelimit_service.ledger.ledger import Ledger
from ratelimit_service.ledger.periods import periods_at
from ratelimit_service.ledger.types import Refusals, UsageRow
from ratelimit_service.settlement import RefusedEntry
from tollhouse.policy.watch import PolicyHolder

log = logging.getLogger("ratelimit_service.refusals")

_AT_ONCE = 64
_MOST_WAITING = 10_000  # names in a policy bound it anyway; while Redis is away, so does this


class RefusalCounter:
    """What was refused and is not yet in the history."""

    def __init__(self, holder: PolicyHolder, ledger: Ledger) -> None:
        self._holder = holder
        self._ledger = ledger
        self._waiting: Counter[tuple[str, UsageRow, str, str]] = Counter()

    @property
    def waiting(self) -> int:
        """How many kinds of refusals (of a key, alias, day and code) are not in the history yet."""
        return len(self._waiting)

    def take(self, entry: RefusedEntry) -> None:
        """Count one refusal."""
        org = self._holder.current.org
        day = periods_at(org.time_zone, int(entry.started_at)).day
        row = UsageRow(entry.project, entry.key_id, entry.alias, org.usage_retention_days)
        where = (entry.team, row, day, entry.code)
        if where in self._waiting or len(self._waiting) < _MOST_WAITING:
            self._waiting[where] += 1

    async def flush(self) -> None:
        """Write what has been counted; what cannot be written waits for the next time."""
        while self._waiting:
            some = [(where, self._waiting.pop(where)) for where in list(self._waiting)[:_AT_ONCE]]
            try:
                await self._ledger.count_refusals([Refusals(*where, n) for where, n in some])
            except LedgerError as error:
                self._waiting.update(dict(some))
                log.debug("refusals wait for Redis: %s", error)
                return
