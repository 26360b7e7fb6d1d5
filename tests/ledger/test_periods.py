"""Limits of days, of running calls and of single models, soft budgets, and what was never sent."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis

from ratelimit_service.ledger.errors import LedgerError
from ratelimit_service.ledger.ledger import Ledger
from ratelimit_service.ledger.types import (
    Admitted,
    Claim,
    RefusalKind,
    Refused,
    SettleOutcome,
    Withdrawal,
)
from tests.ledger.builders import SCOPES, TEAM, FakeClock, claim, settlement
from tests.ledger.contents import contents
from tollhouse.policy.compiled import Limits

LEVELS = pytest.mark.parametrize("level", SCOPES)


async def admitted(ledger: Ledger, asked: Claim) -> Claim:
    assert isinstance(await ledger.admit(asked), Admitted)
    return asked


async def refused(ledger: Ledger, asked: Claim) -> Refused:
    answer = await ledger.admit(asked)
    assert isinstance(answer, Refused)
    return answer


@LEVELS
async def test_requests_of_a_day_are_counted_from_midnight_to_midnight(
    ledger: Ledger, clock: FakeClock, level: str
) -> None:
    clock.set("2026-11-24T00:00:00+00:00")
    limits = {level: Limits(requests_per_day=2)}
    await admitted(ledger, claim(limits))
    clock.set("2026-11-24T23:59:00+00:00")
    await admitted(ledger, claim(limits))

    answer = await refused(ledger, claim(limits))

    assert (answer.kind, answer.limit_name) == (RefusalKind.REQUESTS, "requests_per_day")
    assert (answer.used, answer.limit, answer.retry_after_ms) == (2, 2, 60_000)
    assert answer.resets_at == clock.second + 60
    clock.advance(60)
    await admitted(ledger, claim(limits))


@LEVELS
async def test_tokens_of_a_day_are_those_settled_and_those_that_running_calls_hold(
    ledger: Ledger, level: str
) -> None:
    limits = {level: Limits(tokens_per_day=1_000)}
    running = await admitted(ledger, claim(limits, tokens=900))
    held = await refused(ledger, claim(limits, tokens=200))
    assert (held.kind, held.used, held.held, held.held_only) == (RefusalKind.TOKENS, 0, 900, True)

    await ledger.settle(settlement(running, tokens=850))

    answer = await refused(ledger, claim(limits, tokens=200))
    assert (answer.used, answer.held, answer.held_only) == (850, 0, False)
    await admitted(ledger, claim(limits, tokens=150))


@LEVELS
@pytest.mark.parametrize("end", ["settle", "withdraw", "lease"])
async def test_a_running_call_takes_a_place_until_it_ends_however_it_ends(
    ledger: Ledger, clock: FakeClock, level: str, end: str
) -> None:
    limits = {level: Limits(max_parallel_requests=2)}
    first, _ = [await admitted(ledger, claim(limits, lease_seconds=30)) for _ in range(2)]
    answer = await refused(ledger, claim(limits))
    assert (answer.kind, answer.limit_name) == (RefusalKind.CONCURRENCY, "max_parallel_requests")
    assert (answer.limit, answer.held, answer.held_only) == (2, 2, True)

    if end == "settle":
        await ledger.settle(settlement(first))
    elif end == "withdraw":
        await ledger.withdraw(first)
    else:
        clock.advance(30)

    await admitted(ledger, claim(limits))


async def test_exactly_as_many_calls_run_at_once_as_the_limit_says(ledger: Ledger) -> None:
    limits = {"org": Limits(max_parallel_requests=37)}
    answers = await asyncio.gather(*(ledger.admit(claim(limits)) for _ in range(200)))
    assert sum(isinstance(each, Admitted) for each in answers) == 37


@pytest.mark.parametrize(
    ("limits", "inside", "after"),
    [
        (Limits(daily_spend_nanousd=100), "2026-11-24T23:59:59Z", "2026-11-25T00:00:00Z"),
        (Limits(weekly_spend_nanousd=100), "2026-11-29T23:59:59Z", "2026-11-30T00:00:00Z"),
        (Limits(monthly_spend_nanousd=100), "2026-11-30T23:59:59Z", "2026-12-01T00:00:00Z"),
    ],
    ids=["day", "week", "month"],
)
async def test_a_budget_lasts_as_long_as_its_period(
    ledger: Ledger, clock: FakeClock, limits: Limits, inside: str, after: str
) -> None:
    tight = {"project": limits}
    spent = await admitted(ledger, claim(tight, cost=100, id_ms=clock.millis))
    await ledger.settle(settlement(spent, cost=100))
    clock.set(inside)

    answer = await refused(ledger, claim(tight, cost=1))

    assert (answer.kind, answer.retry_after_ms) == (RefusalKind.BUDGET_EXCEEDED, 1_000)
    clock.set(after)
    await admitted(ledger, claim(tight, cost=100))


async def test_a_soft_budget_reserves_what_is_expected_and_a_hard_one_the_worst(
    ledger: Ledger,
) -> None:
    soft = {"team": Limits(monthly_spend_nanousd=100, budget_mode="soft")}
    hard = {"team": Limits(monthly_spend_nanousd=100)}
    for _ in range(10):
        await admitted(ledger, claim(soft, cost=90, expected_cost=10))
    assert (await refused(ledger, claim(soft, cost=90, expected_cost=10))).held == 100
    assert isinstance(await ledger.admit(claim(hard, cost=90, expected_cost=10)), Refused)


async def test_a_soft_and_a_hard_budget_side_by_side_each_hold_their_own(ledger: Ledger) -> None:
    limits = {
        "key": Limits(monthly_spend_nanousd=1_000),
        "team": Limits(monthly_spend_nanousd=1_000, budget_mode="soft"),
    }
    asked = await admitted(ledger, claim(limits, cost=90, expected_cost=10))

    assert await ledger.spend(TEAM, "key:web-1", "2026-11") == (0, 90)
    assert await ledger.spend(TEAM, "team", "2026-11") == (0, 10)
    await ledger.settle(settlement(asked, cost=40))
    assert await ledger.spend(TEAM, "key:web-1", "2026-11") == (40, 0)
    assert await ledger.spend(TEAM, "team", "2026-11") == (40, 0)


async def test_what_envoy_never_heard_of_is_given_back_by_its_request_id(
    ledger: Ledger, store: Redis
) -> None:
    asked = await admitted(ledger, claim(tokens=7, cost=9, request_id="80bf7770-886e"))
    slots = tuple(part.slot for part in asked.slots)

    assert await ledger.withdraw_lost([Withdrawal(slots, request_id="another")]) == 0
    assert await ledger.withdraw_lost([Withdrawal(slots, request_id="80bf7770-886e")]) == 3

    assert await contents(store) == {}


@pytest.mark.parametrize("ahead_ms", [0, 500])
async def test_an_admission_that_comes_after_it_was_given_back_is_refused(
    ledger: Ledger, clock: FakeClock, ahead_ms: int
) -> None:
    """Also where the clock of whoever made the id is ahead of the store's."""
    late = claim(cost=9, id_ms=clock.millis + ahead_ms)
    slots = tuple(part.slot for part in late.slots)
    await ledger.withdraw_lost([Withdrawal(slots, reservation_id=late.reservation_id)])
    clock.advance(0.3)

    with pytest.raises(LedgerError, match="ENDED"):
        await ledger.admit(late)

    assert await ledger.spend(TEAM, "team", "2026-11") == (0, 0)


async def test_what_was_given_back_and_took_something_all_the_same_is_charged(
    ledger: Ledger, clock: FakeClock
) -> None:
    asked = claim(cost=9, id_ms=clock.millis)
    slots = tuple(part.slot for part in asked.slots)
    await ledger.withdraw_lost([Withdrawal(slots, reservation_id=asked.reservation_id)])

    assert await ledger.settle(settlement(asked, cost=5)) is SettleOutcome.UNKNOWN
    assert await ledger.settle(settlement(asked, cost=5)) is SettleOutcome.DUPLICATE
    assert await ledger.spend(TEAM, "team", "2026-11") == (5, 0)


async def test_a_call_that_was_refused_a_place_takes_nothing_else(
    ledger: Ledger, store: Redis
) -> None:
    limits = {"key": Limits(max_parallel_requests=1), "team": Limits(requests_per_minute=5)}
    await admitted(ledger, claim(limits, tokens=7, cost=9))
    before = await contents(store)

    for _ in range(10):
        answer = await refused(ledger, claim(limits, tokens=7, cost=9))
        assert answer.kind is RefusalKind.CONCURRENCY

    assert await contents(store) == before
