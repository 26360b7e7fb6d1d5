"""Carries access-log entries into the ledger, however long Redis is away.

They wait in memory, up to a bound; with a spool on disk, where they outlive the service too.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator

from ratelimit_service.ledger.errors import LedgerError, LedgerUnavailable
from ratelimit_service.ledger.ledger import Ledger
from ratelimit_service.ledger.types import Settlement, SettleOutcome, Withdrawal
from ratelimit_service.metrics import Metrics
from ratelimit_service.replica import Replica
from ratelimit_service.settlement import (
    NONE,
    Charge,
    Entry,
    UnansweredEntry,
    charge,
    settlement,
    withdrawal,
)
from tollhouse.policy.compiled import Org
from tollhouse.policy.watch import PolicyHolder

log = logging.getLogger("ratelimit_service.settler")

Ended = Entry | UnansweredEntry | Withdrawal
"""What ends a reservation."""
Due = tuple[Entry, Charge, Settlement]

_BATCH = 256
_RETRY_SECONDS = 0.5
# About 200 MB of entries. What is dropped beyond is still in the access log file.
_MOST_WAITING = 200_000


class Settler:
    """One queue, one worker: entries settle in batches, in the order they came.

    With a spool, entries go through it from the moment Redis fails until it is empty again.
    """

    def __init__(
        self, holder: PolicyHolder, ledger: Ledger, metrics: Metrics, replica: Replica
    ) -> None:
        self._holder = holder
        self._ledger = ledger
        self._metrics = metrics
        self._expectation = replica.expectation
        self._stand_in = replica.stand_in
        self._spool = replica.spool
        self._spooling = bool(self._spool and self._spool.waiting)
        self._waiting: deque[Ended] = deque()
        self._more = asyncio.Event()
        self._stopping = False
        self._tried: set[str] = set()  # ids of this batch that Redis may have settled
        self._show_waiting()

    def take(self, entries: list[Ended]) -> None:
        """Accepts entries; never blocks the stream they came from."""
        for entry in entries:
            if isinstance(entry, Entry) and self._stand_in.admitted(entry.reservation_id):
                for _, _, wanted in _due([entry], self._holder.current.org):
                    self._stand_in.settle(wanted)
        if self._spooling:
            entries = self._put_on_disk(entries)
        self._put_in_memory(entries)
        self._show_waiting()
        self._more.set()

    async def run(self) -> None:
        """Until `stop`, and then until what had come is settled or Redis refuses it."""
        while not self._stopping or self._any():
            if not self._any():
                self._more.clear()
                await self._more.wait()
                continue
            settled = await self._settle_next()
            if not settled:
                self._begin_spooling()
            self._show_waiting()
            if not settled and self._stopping:
                return self._give_up()
            if not settled:
                await asyncio.sleep(_RETRY_SECONDS)

    def stop(self) -> None:
        self._stopping = True
        self._more.set()

    def _any(self) -> bool:
        return bool(self._waiting or self._spooling)

    def _show_waiting(self) -> None:
        on_disk = self._spool.waiting if self._spool else 0
        self._metrics.settlements_waiting.set(len(self._waiting) + on_disk)

    def _put_in_memory(self, entries: list[Ended]) -> None:
        room = max(_MOST_WAITING - len(self._waiting), 0)
        self._waiting.extend(entries[:room])
        self._dropped(len(entries[room:]))

    def _put_on_disk(self, ended: list[Ended]) -> list[Ended]:
        """Returns what cannot be there: what was never sent is a matter of its lease at worst."""
        assert self._spool is not None  # noqa: S101 - whoever spools has one
        self._dropped(self._spool.put(each for each in ended if isinstance(each, Entry)))
        return [each for each in ended if not isinstance(each, Entry)]

    def _dropped(self, lost: int) -> None:
        if lost:
            self._metrics.settlements.labels("dropped", NONE).inc(lost)
            log.error(
                "too many entries wait for Redis: settle the rest from the access log",
                extra={"fields": {"dropped": lost}},
            )

    def _begin_spooling(self) -> None:
        if self._spool and not self._spooling:
            self._spooling = True
            self._waiting = deque(self._put_on_disk(list(self._waiting)))

    async def _settle_next(self) -> bool:
        """Settle what waits longest, that in memory first; False if Redis is away."""
        if self._waiting:
            batch = [self._waiting[i] for i in range(min(_BATCH, len(self._waiting)))]
            if not await self._settle(batch):
                return False
            for _ in batch:
                self._waiting.popleft()
            return True
        assert self._spool is not None  # noqa: S101 - `_any` said so
        if not await self._settle(list(self._spool.first(_BATCH))):
            return False
        self._spool.drop()
        self._spooling = self._spool.waiting > 0
        return True

    async def _settle(self, batch: list[Ended]) -> bool:
        started = time.perf_counter()
        org = self._holder.current.org
        due = list(_due([each for each in batch if isinstance(each, Entry)], org))
        lost = list(_lost([each for each in batch if not isinstance(each, Entry)], org))
        try:
            await self._settle_all(due)
            if lost and (given_back := await self._ledger.withdraw_lost(lost)):
                self._metrics.settlements.labels("withdrawn", NONE).inc(given_back)
        except LedgerUnavailable as error:
            self._metrics.redis_errors.labels("settle").inc()
            log.warning("settlement waits for Redis: %s", error)
            self._tried = {entry.reservation_id for entry, _, _ in due}
            return False
        except LedgerError as error:
            self._metrics.redis_errors.labels("settle").inc()
            log.error("reservations cannot be given back, their leases end them: %s", error)
        self._tried = set()
        self._metrics.settlement_seconds.observe(time.perf_counter() - started)
        return True

    async def _settle_all(self, due: list[Due]) -> None:
        try:
            outcomes = await self._ledger.settle_many([wanted for _, _, wanted in due])
        except LedgerUnavailable:
            raise
        except LedgerError:
            # One of them is refused, and must not hold up the others.
            return await self._settle_each(due)
        for (entry, charged, _), outcome in zip(due, outcomes, strict=True):
            self._settled(entry, charged, outcome)

    async def _settle_each(self, due: list[Due]) -> None:
        self._tried = {entry.reservation_id for entry, _, _ in due}
        for entry, charged, wanted in due:
            try:
                self._settled(entry, charged, await self._ledger.settle(wanted))
            except LedgerUnavailable:
                raise
            except LedgerError as error:
                self._metrics.settlements.labels("failed", charged.source).inc()
                log.error(
                    "an access-log entry cannot be settled; when the cause is mended, reconcile "
                    "the access log: %s",
                    error,
                )

    def _settled(self, entry: Entry, charged: Charge, outcome: SettleOutcome) -> None:
        self._metrics.settlements.labels(outcome.value, charged.source).inc()
        # Redis may have done it in a trip that was too late for us; then it is a duplicate now.
        done_late = outcome is SettleOutcome.DUPLICATE and entry.reservation_id in self._tried
        if outcome in (SettleOutcome.DUPLICATE, SettleOutcome.TOO_OLD) and not done_late:
            return
        self._metrics.charged(entry.team, entry.alias, charged)
        self._expectation.learn(entry.key_id, entry.alias, charged.cost, entry.reserved_cost)

    def _give_up(self) -> None:
        if self._spool:
            log.warning(
                "stopped while Redis is away: the next start settles what waits on disk",
                extra={"fields": {"entries": self._spool.waiting}},
            )
            return
        log.error(
            "stopped with entries that Redis did not take: settle them from the access log",
            extra={"fields": {"entries": len(self._waiting)}},
        )


def _due(batch: list[Entry], org: Org) -> Iterator[Due]:
    for entry in batch:
        charged = charge(entry)
        try:
            wanted = settlement(entry, charged, org)
        except ValueError as error:
            # One entry that nobody can settle must not hold up all that come after it.
            log.error("an access-log entry cannot be settled: %s", error)
            continue
        yield entry, charged, wanted


def _lost(batch: list[UnansweredEntry | Withdrawal], org: Org) -> Iterator[Withdrawal]:
    for entry in batch:
        try:
            yield entry if isinstance(entry, Withdrawal) else withdrawal(entry, org)
        except ValueError as error:
            log.error("an access-log entry cannot be settled: %s", error)


@contextlib.asynccontextmanager
async def running(settler: Settler) -> AsyncIterator[None]:
    """The settler at work for the length of a with-block."""
    task = asyncio.create_task(settler.run())
    try:
        yield
    finally:
        settler.stop()
        await task
