"""The history of usage says of each day what the budget counted on it, and no more is kept."""

from __future__ import annotations

from dataclasses import replace

import pytest
from redis.asyncio import Redis

from ratelimit_service.ledger.daily import DailyUsage
from ratelimit_service.ledger.history import usage
from ratelimit_service.ledger.ledger import Ledger
from ratelimit_service.ledger.types import Claim, OnLost, Refusals, TakenUsage, UsageRow
from tests.ledger.builders import ROW, SCOPES, TEAM, FakeClock, claim, settlement
from tests.ledger.contents import contents

TODAY = "2026-11-24"
DAYS = [TODAY, "2026-11-25"]
SLOTS = {slot for slot, _ in SCOPES.values()}


async def ended(ledger: Ledger, asked: Claim, cost: int, taken: TakenUsage) -> None:
    await ledger.admit(asked)
    await ledger.settle(settlement(asked, tokens=5, cost=cost, usage=taken))


async def test_a_day_sums_up_what_its_calls_took(ledger: Ledger, store: Redis) -> None:
    await ended(ledger, claim(), 300, TakenUsage(100, 20, 40))
    await ended(ledger, claim(), 200, TakenUsage(10, 2, 0, errors=1))

    assert await usage(store, "marketing", DAYS) == [
        DailyUsage(TODAY, "marketing", "website", "web-1", "gpt4_limited", 2, 110, 22, 40, 500, 1)
    ]


async def test_days_projects_keys_and_aliases_have_rows_of_their_own(
    ledger: Ledger, store: Redis, clock: FakeClock
) -> None:
    rows = [ROW, *(replace(ROW, **{name: "other"}) for name in ("project", "key", "alias"))]
    for row in rows:
        await ended(ledger, replace(claim(), row=row), 1, TakenUsage())
    clock.advance(86_400)
    await ended(ledger, claim(id_ms=clock.millis), 1, TakenUsage())

    found = await usage(store, "marketing", DAYS)

    assert [row.day for row in found] == [TODAY] * 4 + ["2026-11-25"]
    named = {(row.project, row.key, row.alias) for row in found}
    assert named == {(row.project, row.key, row.alias) for row in rows}


async def test_a_call_counts_on_the_day_it_was_admitted(
    ledger: Ledger, store: Redis, clock: FakeClock
) -> None:
    clock.set("2026-11-24T23:59:59+00:00")
    asked = claim()
    await ledger.admit(asked)
    clock.advance(10)
    await ledger.settle(settlement(asked, cost=7))

    assert [(row.day, row.cost) for row in await usage(store, "marketing", DAYS)] == [(TODAY, 7)]


@pytest.mark.parametrize(("on_lost", "charged"), [("charge", 1_000), ("release", 0)])
async def test_a_lost_call_is_in_the_history_and_a_late_entry_corrects_it(
    ledger: Ledger, store: Redis, clock: FakeClock, on_lost: OnLost, charged: int
) -> None:
    asked = claim(cost=1_000, lease_seconds=30, on_lost=on_lost, id_ms=clock.millis)
    await ledger.admit(asked)
    clock.advance(31)
    await ledger.sweep(SLOTS)
    (lost,) = await usage(store, "marketing", DAYS)
    assert (lost.requests, lost.cost) == (1, charged)

    await ledger.settle(settlement(asked, tokens=5, cost=300, usage=TakenUsage(4, 1)))

    (found,) = await usage(store, "marketing", DAYS)
    assert (found.requests, found.cost, found.input_tokens, found.output_tokens) == (1, 300, 4, 1)


async def test_an_entry_that_comes_twice_is_in_the_history_once(
    ledger: Ledger, store: Redis
) -> None:
    asked = claim()
    await ledger.admit(asked)
    for _ in range(3):
        await ledger.settle(settlement(asked, cost=7))

    (row,) = await usage(store, "marketing", DAYS)
    assert (row.requests, row.cost) == (1, 7)


async def test_the_costs_of_the_days_are_what_the_months_budget_counted(
    ledger: Ledger, store: Redis, clock: FakeClock
) -> None:
    clock.set("2026-11-01T00:00:00+00:00")
    for hour in range(200):
        asked = claim(cost=500, id_ms=clock.millis, lease_seconds=60)
        await ledger.admit(asked)
        clock.advance(3_600)
        if hour % 3:
            await ledger.settle(settlement(asked, cost=hour))
    await ledger.sweep(SLOTS)

    days = [f"2026-11-{day:02}" for day in range(1, 31)]
    in_days = sum(row.cost for row in await usage(store, "marketing", days))

    assert (in_days, 0) == await ledger.spend(TEAM, "team", "2026-11")


async def test_refusals_are_kept_beside_what_was_admitted(ledger: Ledger, store: Redis) -> None:
    await ended(ledger, claim(), 7, TakenUsage())
    refusals = Refusals("marketing", ROW, TODAY, "rate_limit_requests", 3)
    await ledger.count_refusals([refusals, refusals])

    (row,) = await usage(store, "marketing", DAYS)
    assert (row.requests, row.cost, row.refusals) == (1, 7, {"rate_limit_requests": 6})


async def test_a_day_is_kept_as_long_as_the_policy_says(ledger: Ledger, store: Redis) -> None:
    await ended(ledger, replace(claim(), row=replace(ROW, kept_days=30)), 7, TakenUsage())

    assert 29 * 86_400 < await store.ttl(f"th:{{team:marketing}}:usage:{TODAY}") <= 30 * 86_400


async def test_only_the_teams_slot_keeps_a_history(ledger: Ledger, store: Redis) -> None:
    await ended(ledger, claim(), 7, TakenUsage())

    assert [name for name in await contents(store) if ":usage:" in name] == [
        f"th:{{team:marketing}}:usage:{TODAY}"
    ]


async def test_a_key_and_alias_take_little_memory_a_month(
    ledger: Ledger, store: Redis, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = 600  # above the size up to which Redis packs a hash
    for at in range(keys):
        row = UsageRow("website", f"marketing-website-prod-{at}", "gpt4_limited", 400)
        taken = TakenUsage(123_456, 34_567, 2_345)
        await ended(ledger, replace(claim(levels=["team"]), row=row), 12_345_678, taken)

    bytes_taken = await store.memory_usage(f"th:{{team:marketing}}:usage:{TODAY}", samples=0)

    a_day = (bytes_taken or 0) / keys
    assert 0 < a_day * 30 < 10_000
    with capsys.disabled():
        print(f"\nhistory: {a_day:.0f} bytes a day, {a_day * 30:.0f} a month, for a key and alias")
