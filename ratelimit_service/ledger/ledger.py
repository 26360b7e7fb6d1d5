"""The ledger: admits requests against their limits, and settles what they took."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import TypeVar, cast

from ratelimit_service.ledger import wire
from ratelimit_service.ledger.errors import LedgerError, LedgerUnavailable
from ratelimit_service.ledger.keys import slot_keys
from ratelimit_service.ledger.lane import Lanes
from ratelimit_service.ledger.past import SlotPast
from ratelimit_service.ledger.store import (
    STORE_ERRORS,
    StoreClient,
    probe,
    sees_one_slot,
    translated,
)
from ratelimit_service.ledger.types import (
    Admitted,
    Claim,
    Refusals,
    Refused,
    ScopeState,
    Settlement,
    SettleOutcome,
    Slot,
    SlotClaim,
    SlotTotals,
    Withdrawal,
)

_T = TypeVar("_T")

_log = logging.getLogger(__name__)

_SETTLED_AT_ONCE = 32
_SLOTS_AT_ONCE = 64


class Ledger:
    """Counters of requests, tokens and money in Redis, shared by every replica of the service.

    `redis` is a client of one server or of a cluster (`store.open_redis`); `close` closes it.
    `prefix` begins every key. `timeout_seconds` is the deadline of each trip to the store.
    `clock`, in microseconds since 1970, replaces the store's own for tests.

    Every method but `close` raises LedgerUnavailable when the store does not answer in time.
    """

    def __init__(
        self,
        redis: StoreClient,
        *,
        prefix: str = "th:",
        timeout_seconds: float = 0.25,
        clock: Callable[[], int] | None = None,
    ) -> None:
        self._redis = redis
        self._prefix = prefix
        self._timeout = timeout_seconds
        self._clock = clock
        self._apart = sees_one_slot(redis)
        # Two lanes, so that a long list of settlements does not keep requests waiting.
        self._admissions = Lanes(redis, timeout_seconds)
        self._settlements = Lanes(redis, timeout_seconds)
        self._withdrawals: set[asyncio.Task[bool]] = set()

    async def admit(self, claim: Claim) -> Admitted | Refused:
        """Count and reserve `claim` at every scope of every slot, or at none.

        A refusal by several slots is reported as that of the first. A caller that is cancelled
        leaves no reservation behind. An id is for one request: while it is held, admitting it again
        counts nothing; once settled it must not come back. Takes twice the deadline at most.
        """
        calls = wire.admit_calls(self._prefix, claim, *self._times(), apart=self._apart)
        try:
            replies = await self._admissions.run(calls)
        except asyncio.CancelledError:
            slots = tuple(part.slot for part in claim.asked)
            self._start_withdrawal(claim, slots, on_its_way=True)
            raise
        outcome, took = wire.read_admission(claim, replies)
        if isinstance(outcome, Admitted):
            return outcome
        unreturned = await self._give_back(claim, took)
        if outcome is None:
            raise LedgerError("the reservation was given back before it was made (ENDED)")
        return replace(outcome, unreturned=unreturned) if unreturned else outcome

    async def withdraw(self, claim: Claim) -> None:
        """Give back what `admit` took, in full, the count of the request included."""
        await self._withdraw(claim, tuple(part.slot for part in claim.asked), on_its_way=False)

    async def withdraw_lost(self, withdrawals: Sequence[Withdrawal]) -> int:
        """Give back reservations whose requests went no further; returns how many were held.

        One whose admission has not reached the store yet is refused when it does.
        """
        calls = [
            call
            for each in withdrawals
            for call in wire.withdraw_calls(self._prefix, each, on_its_way=True)
        ]
        return sum(int(str(reply)) for reply in await self._settlements.run(calls))

    async def count_refusals(self, refusals: Sequence[Refusals]) -> None:
        """Add refusals to the history. If it raises, some are counted and some are not."""
        await self._settlements.run([wire.refuse_call(self._prefix, each) for each in refusals])

    async def settle(self, settlement: Settlement) -> SettleOutcome:
        """Replace a reservation by what the request really took, once however often it is asked."""
        return (await self.settle_many([settlement]))[0]

    async def settle_many(self, settlements: Sequence[Settlement]) -> list[SettleOutcome]:
        """Settle each, in pipelines; the outcomes are in order.

        The deadline is for each pipeline. If it raises, some are settled and some are not: settle
        the whole list again, those that were are then DUPLICATE.
        """
        return [wire.telling(each) for each in await self.settle_in_slots(settlements)]

    async def settle_in_slots(
        self, settlements: Sequence[Settlement]
    ) -> list[tuple[SettleOutcome, ...]]:
        """Settle each as `settle_many` does; the outcomes are those of its slots, in order.

        All are tried before it raises: while the org's master is away, say, each team's budget
        learns what its calls took.
        """
        outcomes: list[tuple[SettleOutcome, ...]] = []
        failure: LedgerUnavailable | None = None
        for first in range(0, len(settlements), _SETTLED_AT_ONCE):
            try:
                outcomes += await self._settle_some(settlements[first : first + _SETTLED_AT_ONCE])
            except LedgerUnavailable as error:
                failure = failure or error
        if failure:
            raise failure
        return outcomes

    async def sweep(self, slots: Iterable[Slot]) -> int:
        """End the reservations in `slots` whose lease is over. Returns how many.

        Every admission sweeps a little in its own slots; this is for slots that nobody uses.
        """
        waiting = list(dict.fromkeys(slots))
        swept = 0
        while waiting:
            some, waiting = waiting[:_SLOTS_AT_ONCE], waiting[_SLOTS_AT_ONCE:]
            counts = await self._sweep_some(some)
            swept += sum(counts)
            pairs = zip(some, counts, strict=True)
            waiting += [slot for slot, count in pairs if count == wire.SWEPT_AT_ONCE]
        return swept

    async def note_slots(self, slots: Iterable[Slot]) -> list[Slot]:
        """Note that these are in use; returns all that ever were, whatever the policy has now."""
        key = f"{self._prefix}slots"
        tags = [slot.tag for slot in slots]
        await self._within_deadline(self._redis.sadd(key, *tags))
        noted = await self._within_deadline(self._redis.smembers(key))
        return [Slot.from_tag(cast(bytes, tag).decode()) for tag in noted]

    async def births(self, slots: Iterable[Slot]) -> dict[Slot, int]:
        """When each slot was first used, epoch ms; one that never was is used now."""
        clock, _ = self._times()
        asked = list(slots)
        births: list[int] = []
        for first in range(0, len(asked), _SLOTS_AT_ONCE):
            some = asked[first : first + _SLOTS_AT_ONCE]
            calls = [wire.born_call(self._prefix, slot, clock) for slot in some]
            births += [int(cast(bytes, reply)) for reply in await self._settlements.run(calls)]
        return dict(zip(asked, births, strict=True))

    async def accept(self, slots: Iterable[Slot]) -> None:
        """Tell every service to take these slots as they are, though they are not those that it
        knows."""
        until = max((await self.births(slots)).values())
        await self._within_deadline(self._redis.hset(f"{self._prefix}ledger", "accepted", until))

    async def accepted_until(self) -> int:
        """Until when, epoch ms, slots may have been born that are taken as they are."""
        found = await self._within_deadline(self._redis.hget(f"{self._prefix}ledger", "accepted"))
        return int(found or 0)

    async def spend(self, slot: Slot, scope: str, month: str) -> tuple[int, int]:
        """Nano-dollars (settled in `month`, a `YYYY-MM`; held by running calls) of `scope`."""
        return await self._within_deadline(self._read_spend(slot, scope, month))

    async def inspect(self, part: SlotClaim, time_zone: str) -> tuple[ScopeState, ...]:
        """The counters of some scopes of a slot; changes nothing."""
        call = wire.inspect_call(self._prefix, part, time_zone, *self._times())
        (reply,) = await self._settlements.run([call])
        return wire.read_inspection(part, reply)

    async def pasts(self, oldest: Mapping[Slot, int | None]) -> dict[Slot, SlotPast]:
        """What each slot knows of what was before it; one that was never used is used now.

        With epoch milliseconds it notes, for ever, that lines of the log as old as that are settled
        in it from now on, though they are older than itself.
        """
        clock, _ = self._times()
        asked = list(oldest.items())
        replies: list[object] = []
        for first in range(0, len(asked), _SLOTS_AT_ONCE):
            some = asked[first : first + _SLOTS_AT_ONCE]
            calls = [wire.replay_call(self._prefix, slot, ms, clock) for slot, ms in some]
            replies += await self._settlements.run(calls)
        return dict(zip(oldest, map(wire.read_past, replies), strict=True))

    async def restore(self, slot: Slot, month: str, totals: SlotTotals) -> bool:
        """Add what a lost ledger had settled in a slot in `month`; False if it was done before."""
        call = wire.restore_call(self._prefix, slot, month, totals)
        (reply,) = await self._settlements.run([call])
        return bool(int(str(reply)))

    async def ping(self) -> bool:
        """Return if the store takes what is written to it: True if every master of a cluster does,
        False if some do. Raises LedgerUnavailable if none does."""
        try:
            found = await probe(self._redis, f"{self._prefix}probe", self._timeout)
        except STORE_ERRORS as error:
            raise translated(error) from error
        failures = [failure for failure in found if failure]
        if len(failures) == len(found):
            raise translated(failures[0])
        self._admissions.try_again()
        self._settlements.try_again()
        return not failures

    async def close(self) -> None:
        """Finish what is being given back, and close the client."""
        await asyncio.gather(*self._withdrawals)
        await self._admissions.close()
        await self._settlements.close()
        await self._redis.aclose()

    def _times(self) -> tuple[str, int]:
        # The clock override for scripts, and the moment around which days are listed.
        if self._clock is None:
            return "", int(time.time())
        micros = self._clock()
        return str(micros), micros // 1_000_000

    async def _settle_some(
        self, settlements: Sequence[Settlement]
    ) -> list[tuple[SettleOutcome, ...]]:
        clock, _ = self._times()
        groups = [
            wire.settle_calls(self._prefix, each, clock, apart=self._apart) for each in settlements
        ]
        replies = iter(await self._settlements.run([call for group in groups for call in group]))
        return [wire.read_outcomes(islice(replies, len(group))) for group in groups]

    async def _sweep_some(self, slots: Sequence[Slot]) -> list[int]:
        clock, _ = self._times()
        calls = [wire.sweep_call(self._prefix, slot, clock) for slot in slots]
        return [int(str(reply)) for reply in await self._settlements.run(calls)]

    async def _read_spend(self, slot: Slot, scope: str, month: str) -> tuple[int, int]:
        keys = slot_keys(self._prefix, slot)
        settled = await self._redis.hget(keys.counters("month", month), scope)
        held = await self._redis.hget(keys.held, f"{scope}|nano")
        return int(settled or 0), int(held or 0)

    async def _give_back(self, claim: Claim, took: tuple[Slot, ...]) -> Withdrawal | None:
        if not took:
            return None
        # Shielded: the caller may be cancelled, what it took is given back all the same.
        returned = await asyncio.shield(self._start_withdrawal(claim, took, on_its_way=False))
        return None if returned else Withdrawal(took, reservation_id=claim.reservation_id)

    def _start_withdrawal(
        self, claim: Claim, slots: tuple[Slot, ...], *, on_its_way: bool
    ) -> asyncio.Task[bool]:
        task = asyncio.create_task(self._withdraw_quietly(claim, slots, on_its_way=on_its_way))
        self._withdrawals.add(task)
        task.add_done_callback(self._withdrawals.discard)
        return task

    async def _withdraw_quietly(
        self, claim: Claim, slots: tuple[Slot, ...], *, on_its_way: bool
    ) -> bool:
        try:
            await self._withdraw(claim, slots, on_its_way=on_its_way)
        except LedgerError as error:
            _log.warning("a reservation could not be given back yet: %s", error)
            return False
        return True

    async def _withdraw(self, claim: Claim, slots: tuple[Slot, ...], *, on_its_way: bool) -> None:
        withdrawal = Withdrawal(slots, reservation_id=claim.reservation_id)
        calls = wire.withdraw_calls(self._prefix, withdrawal, on_its_way=on_its_way)
        await self._admissions.run(calls)

    async def _within_deadline(self, call: Awaitable[_T]) -> _T:
        try:
            async with asyncio.timeout(self._timeout):
                return await call
        except STORE_ERRORS as error:
            raise translated(error) from error
