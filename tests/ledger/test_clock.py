"""Clocks that jump: counted is what was admitted, charged is what was taken, all the same."""

from __future__ import annotations

import pytest

from ratelimit_service.ledger.errors import LedgerClockError
from ratelimit_service.ledger.ledger import Ledger
from ratelimit_service.ledger.store import StoreClient
from ratelimit_service.ledger.types import Admitted, Refused, SettleOutcome
from tests.ledger.builders import TEAM, FakeClock, claim, limit, settlement
from tests.ledger.contents import open_reservations
from tollhouse.policy.compiled import Limits

HOURS = 3600.0
NOVEMBER = "2026-11"


@pytest.mark.parametrize("hours", [-2, 2, -20, 20])
async def test_a_call_that_a_jump_falls_into_is_charged_what_it_took_once(
    ledger: Ledger, clock: FakeClock, store: StoreClient, hours: int
) -> None:
    asked = claim(cost=500, tokens=50, lease_seconds=600)
    await ledger.admit(asked)
    clock.advance(hours * HOURS)
    swept = await ledger.sweep([part.slot for part in asked.slots])
    assert swept == (3 if hours > 0 else 0)  # forward, its lease is over, in each slot

    outcome = await ledger.settle(settlement(asked, cost=30, tokens=3))

    assert outcome is (SettleOutcome.CORRECTED if hours > 0 else SettleOutcome.SETTLED)
    clock.advance(-hours * HOURS)
    assert await ledger.settle(settlement(asked, cost=30)) is SettleOutcome.DUPLICATE
    assert await ledger.spend(TEAM, "team", NOVEMBER) == (30, 0)
    assert await open_reservations(store) == set()


@pytest.mark.parametrize("seconds", [-1, -61, -3600, -86_000])
async def test_a_clock_that_is_set_back_gives_nobody_a_new_minute(
    ledger: Ledger, clock: FakeClock, seconds: int
) -> None:
    limits = {"team": limit(requests=5)}
    for _ in range(5):
        assert isinstance(await ledger.admit(claim(limits)), Admitted)
    clock.advance(seconds)
    assert isinstance(await ledger.admit(claim(limits)), Refused)
    clock.advance(63 - min(seconds, -61))  # at most as long as the jump, and a minute
    assert isinstance(await ledger.admit(claim(limits)), Admitted)


async def test_a_clock_that_is_set_back_for_long_locks_nobody_out_for_long(
    ledger: Ledger, clock: FakeClock
) -> None:
    limits = {"team": limit(requests=5)}
    for _ in range(5):
        await ledger.admit(claim(limits))
    clock.advance(-12 * HOURS)
    assert isinstance(await ledger.admit(claim(limits)), Refused)
    clock.advance(62)
    assert isinstance(await ledger.admit(claim(limits)), Admitted)


async def test_what_was_counted_before_a_clock_was_set_back_leaves_the_window_once(
    ledger: Ledger, clock: FakeClock
) -> None:
    limits = {"team": limit(requests=9)}
    for _ in range(5):
        await ledger.admit(claim(limits))
    clock.advance(-12 * HOURS)
    used = []
    for wait in (0, 30, 32):
        clock.advance(wait)
        answer = await ledger.admit(claim(limits, levels=["team"]))
        used.append(answer.states[0].requests_used)
    assert used == [6, 7, 2]


async def test_a_day_that_comes_twice_has_one_budget(ledger: Ledger, clock: FakeClock) -> None:
    limits = {"key": Limits(daily_spend_nanousd=100)}
    clock.set("2026-11-24T23:59:00+00:00")
    spent = claim(limits, cost=100)
    await ledger.admit(spent)
    await ledger.settle(settlement(spent, cost=100))
    clock.advance(120)  # the next day
    assert isinstance(await ledger.admit(claim(limits, cost=1)), Admitted)
    clock.advance(-120)
    assert isinstance(await ledger.admit(claim(limits, cost=1)), Refused)


async def test_a_store_whose_clock_is_days_away_admits_nobody_and_takes_nothing(
    ledger: Ledger, clock: FakeClock, store: StoreClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = claim(cost=5)
    await ledger.admit(held)
    in_two_days = str(clock.micros + 48 * 3600 * 1_000_000)
    monkeypatch.setattr(ledger, "_times", lambda: (in_two_days, clock.second))
    with pytest.raises(LedgerClockError, match="more than a day from ours"):
        await ledger.admit(claim(cost=5))
    assert await open_reservations(store) == {held.reservation_id}
    assert await ledger.settle(settlement(held, cost=3)) is SettleOutcome.SETTLED
