"""Carries access-log entries into the ledger, however long Redis is away.

What Redis does not take is parked, and keeps no other waiting: of a cluster, a part may be away.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter, defaultdict, deque
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence

from ratelimit_service.ledger.errors import LedgerError, LedgerUnavailable
from ratelimit_service.ledger.ledger import Ledger
from ratelimit_service.ledger.types import Settlement, SettleOutcome, Withdrawal
from ratelimit_service.metrics import Metrics
from ratelimit_service.parked import Ended
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

Due = tuple[Entry, Charge, Settlement]

_BATCH = 256
_RETRY_SECONDS = 0.5


class Settler:
    """One queue, one worker: entries settle in batches, in the order they came."""

    def __init__(
        self, holder: PolicyHolder, ledger: Ledger, metrics: Metrics, replica: Replica
    ) -> None:
        self._holder = holder
        self._ledger = ledger
        self._metrics = metrics
        self._expectation = replica.expectation
        self._stand_in = replica.stand_in
        self._new: deque[Ended | UnansweredEntry] = deque()
        self._parked = replica.parked
        self._round: deque[str] = deque()  # queues of what is parked, still to be tried
        self._more = asyncio.Event()
        self._stopping = False
        self._told_away = False
        self._retry_at = 0.0  # event loop's time
        self._show_waiting()

    def take(self, entries: Sequence[Ended | UnansweredEntry]) -> None:
        """Accepts entries; never blocks the stream they came from."""
        for entry in entries:
            if isinstance(entry, Entry) and self._stand_in.admitted(entry.reservation_id):
                for _, _, wanted in _due([entry], self._holder.current.org):
                    self._stand_in.settle(wanted)
        self._new.extend(entries)
        self._show_waiting()
        self._more.set()

    async def run(self) -> None:
        """Until `stop`, and then until what had come is settled or Redis refuses it."""
        while not self._stopping or self._new:
            await self._settle_new()
            await self._retry()
            if not self._new:
                await self._pause()
        await self._retry()
        if self._parked.waiting:
            self._give_up()

    def stop(self) -> None:
        self._stopping = True
        self._more.set()

    async def _pause(self) -> None:
        if self._stopping:
            return
        self._more.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_RETRY_SECONDS if self._parked.waiting else None):
                await self._more.wait()

    async def _settle_new(self) -> None:
        batch = [self._new[place] for place in range(min(_BATCH, len(self._new)))]
        left = await self._settle(batch, again=False)
        for _ in batch:
            self._new.popleft()
        self._park(left)
        self._show_waiting()

    def _park(self, left: list[Ended]) -> None:
        if dropped := self._parked.put(left):
            self._metrics.settlements["dropped", NONE].inc(dropped)
            log.error(
                "too many entries wait for Redis: settle the rest from the access log",
                extra={"fields": {"dropped": dropped}},
            )

    async def _retry(self) -> None:
        """Try every queue of what is parked, one after the other, until something new has come."""
        now = asyncio.get_running_loop().time()
        if not self._round and (self._stopping or now >= self._retry_at):
            self._round.extend(self._parked.queues())
            self._retry_at = now + _RETRY_SECONDS
        while self._round and not self._new:
            if await self._retry_some(self._round[0]):
                self._round.popleft()
            self._show_waiting()

    async def _retry_some(self, queue: str) -> bool:
        """Settle a batch of a queue; whether it is empty, or Redis does not take it yet."""
        batch = self._parked.first(queue, _BATCH)
        left = await self._settle(batch, again=True)
        if left and len(left) == len(batch):
            return True
        self._park(left)
        self._parked.drop(queue)
        return queue not in self._parked.queues()

    def _show_waiting(self) -> None:
        self._metrics.settlements_waiting.set(len(self._new) + self._parked.waiting)

    async def _settle(
        self, batch: Sequence[Ended | UnansweredEntry], *, again: bool
    ) -> list[Ended]:
        """Returns what Redis did not take. `again`: it may have been settled, too late for us."""
        if not batch:
            return []
        started = time.perf_counter()
        org = self._holder.current.org
        due = list(_due([each for each in batch if isinstance(each, Entry)], org))
        lost = list(_lost([each for each in batch if not isinstance(each, Entry)], org))
        left: list[Ended] = list(await self._settle_all(due, again=again))
        left += await self._give_back(lost)
        self._tell(away=bool(left))
        if not left:
            self._metrics.settlement_seconds.observe(time.perf_counter() - started)
        return left

    def _tell(self, *, away: bool) -> None:
        if away != self._told_away:
            self._told_away = away
            log.warning("settlement waits for Redis" if away else "settlement goes on")

    async def _settle_all(self, due: list[Due], *, again: bool) -> list[Entry]:
        try:
            outcomes = await self._ledger.settle_many([wanted for _, _, wanted in due])
        except LedgerUnavailable:
            self._metrics.redis_errors.labels("settle").inc()
            return await self._settle_by_team(due)
        except LedgerError:
            # One of them is refused, and must not hold up the others.
            return await self._settle_each(due)
        self._settled(zip(due, outcomes, strict=True), again=again)
        return []

    async def _settle_by_team(self, due: list[Due]) -> list[Entry]:
        """Some masters of a cluster may answer while another is away; a team has one."""
        teams: defaultdict[str, list[Due]] = defaultdict(list)
        for each in due:
            teams[each[0].team].append(each)
        if len(teams) == 1:
            return [entry for entry, _, _ in due]
        left = [await self._settle_all(of_team, again=True) for of_team in teams.values()]
        return [entry for of_team in left for entry in of_team]

    async def _settle_each(self, due: list[Due]) -> list[Entry]:
        left = []
        for each in due:
            entry, charged, wanted = each
            try:
                self._settled([(each, await self._ledger.settle(wanted))], again=True)
            except LedgerUnavailable:
                left.append(entry)
            except LedgerError as error:
                self._metrics.settlements["failed", charged.source].inc()
                log.error(
                    "an access-log entry cannot be settled; when the cause is mended, reconcile "
                    "the access log: %s",
                    error,
                )
        return left

    async def _give_back(self, lost: list[Withdrawal]) -> list[Withdrawal]:
        """Returns those that could not be."""
        if not lost:
            return []
        try:
            if given_back := await self._ledger.withdraw_lost(lost):
                self._metrics.settlements["withdrawn", NONE].inc(given_back)
        except LedgerUnavailable:
            self._metrics.redis_errors.labels("settle").inc()
            if len(lost) == 1:
                return lost
            return [left for each in lost for left in await self._give_back([each])]
        except LedgerError as error:
            self._metrics.redis_errors.labels("settle").inc()
            log.error("reservations cannot be given back, their leases end them: %s", error)
        return []

    def _settled(self, done: Iterable[tuple[Due, SettleOutcome]], *, again: bool) -> None:
        counted: Counter[tuple[str, str]] = Counter()
        charges: defaultdict[tuple[str, str], list[Charge]] = defaultdict(list)
        for (entry, charged, _), outcome in done:
            counted[outcome, charged.source] += 1
            # Redis may have done it in a trip that was too late for us; then it is a duplicate now.
            done_late = again and outcome is SettleOutcome.DUPLICATE
            if outcome in (SettleOutcome.DUPLICATE, SettleOutcome.TOO_OLD) and not done_late:
                continue
            charges[entry.team, entry.alias].append(charged)
            self._expectation.learn(entry.key_id, entry.alias, charged.cost, entry.reserved_cost)
        for labels, count in counted.items():
            self._metrics.settlements[labels].inc(count)
        for (team, alias), of_team in charges.items():
            self._metrics.charged(team, alias, of_team)

    def _give_up(self) -> None:
        fields = {"entries": self._parked.waiting}
        if self._parked.on_disk:
            log.warning(
                "stopped while Redis is away: the next start settles what waits on disk",
                extra={"fields": fields},
            )
        else:
            log.error(
                "stopped with entries that Redis did not take: settle them from the access log",
                extra={"fields": fields},
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
