"""What the console says was used is what the budgets counted, over all teams that ever were."""

from __future__ import annotations

import time
from datetime import date, timedelta
from itertools import combinations
from pathlib import Path

import pytest

from console.reads.days import this_month, today
from console.reads.readings import Readings
from console.reads.usage import DIMENSIONS, UsageQuery, total
from ratelimit_service.claims import every_slot
from ratelimit_service.ledger.errors import LedgerUnavailable
from ratelimit_service.ledger.ledger import Ledger
from ratelimit_service.ledger.store import StoreClient
from ratelimit_service.ledger.types import Refusals, Slot, TakenUsage
from tests.ledger.builders import ROW, FakeClock
from tests.reads.company import claim_of, company, note, spend
from tests.support.redis import RedisProcess

FIRST, LAST = date(2026, 11, 1), date(2026, 11, 30)
WAYS = [way for size in range(len(DIMENSIONS) + 1) for way in combinations(DIMENSIONS, size)]


async def test_however_it_is_grouped_usage_is_what_the_month_counted(
    tmp_path: Path,
    ledger: Ledger,
    readings: Readings,
    clock: FakeClock,
    capsys: pytest.CaptureFixture[str],
) -> None:
    snapshot = company(tmp_path)
    await note(ledger, snapshot)
    clock.set("2026-11-01T00:00:00+01:00")
    calls = 0
    for hour in range(0, 24 * 23, 7):
        for at, (key, model) in enumerate(
            [("web-1", "small"), ("web-1", "large"), ("web-3", "small"), ("ops-1", "large")]
        ):
            cost = 100_003 * (hour + at + 1)
            taken = TakenUsage(hour, at, at // 2, errors=int(hour % 5 == 0))
            await spend(ledger, snapshot, clock, key, cost, alias=model, usage=taken)
            calls += 1
        clock.advance(7 * 3600)
    await ledger.admit(claim_of(snapshot, clock, "ops-1"))  # lost: charged when its lease ends
    clock.advance(1000)
    await ledger.sweep(every_slot(snapshot))

    totals = [total(await readings.usage(snapshot, UsageQuery(FIRST, LAST, way))) for way in WAYS]

    assert totals == [totals[0]] * len(WAYS)
    assert totals[0].requests == calls + 1
    org = Slot("org", snapshot.org.name)
    assert (totals[0].cost, 0) == await ledger.spend(org, "org", "2026-11")
    for row in await readings.usage(snapshot, UsageQuery(FIRST, LAST, ("team",))):
        assert (row.cost, 0) == await ledger.spend(Slot("team", row.team or ""), "team", "2026-11")
    for row in await readings.usage(snapshot, UsageQuery(FIRST, LAST, ("team", "project", "key"))):
        slot = Slot("team", row.team or "")
        assert (row.cost, 0) == await ledger.spend(slot, f"key:{row.key}", "2026-11")
    with capsys.disabled():
        print(f"\n{calls} calls grouped in {len(WAYS)} ways: each sums to {totals[0].cost} nano")


async def test_teams_that_the_policy_no_longer_has_are_in_it(
    tmp_path: Path, ledger: Ledger, readings: Readings, clock: FakeClock
) -> None:
    before = company(tmp_path / "before")
    await note(ledger, before)
    await spend(ledger, before, clock, "web-1", 7)
    await spend(ledger, before, clock, "ops-1", 5)
    after = company(tmp_path / "after", teams__ops=None)

    found = await readings.usage(after, UsageQuery(FIRST, LAST, ("team",)))
    one = await readings.usage(after, UsageQuery(FIRST, LAST, ("team",), team="ops"))

    assert [(row.team, row.cost) for row in found] == [("web", 7), ("ops", 5)]
    assert [(row.team, row.cost) for row in one] == [("ops", 5)]


async def test_whoever_sees_one_team_only_is_shown_no_other(
    tmp_path: Path, ledger: Ledger, readings: Readings, clock: FakeClock
) -> None:
    snapshot = company(tmp_path)
    await spend(ledger, snapshot, clock, "web-1", 7)
    await spend(ledger, snapshot, clock, "ops-1", 5)
    sees = frozenset({"web"})

    own = await readings.usage(snapshot, UsageQuery(FIRST, LAST, ("team",), teams=sees))
    other = UsageQuery(FIRST, LAST, ("team",), team="ops", teams=sees)

    assert [(row.team, row.cost) for row in own] == [("web", 7)]
    assert await readings.usage(snapshot, other) == []


async def test_refusals_and_errors_are_beside_what_was_admitted(
    tmp_path: Path, ledger: Ledger, readings: Readings, clock: FakeClock
) -> None:
    snapshot = company(tmp_path)
    await spend(ledger, snapshot, clock, "web-1", 7, usage=TakenUsage(errors=1))
    await ledger.count_refusals(
        [Refusals("web", ROW, "2026-11-24", code, 3) for code in ("key_blocked", "key_expired")]
    )

    (row,) = await readings.usage(snapshot, UsageQuery(FIRST, LAST, ("team",)))

    assert (row.requests, row.errors, row.cost) == (1, 1, 7)
    assert row.refusals == {"key_blocked": 3, "key_expired": 3}


async def test_a_day_is_the_orgs_and_not_that_of_utc(
    tmp_path: Path, ledger: Ledger, readings: Readings, clock: FakeClock
) -> None:
    snapshot = company(tmp_path)
    clock.set("2026-11-23T23:30:00+00:00")  # half past midnight of the 24th in Berlin
    await spend(ledger, snapshot, clock, "web-1", 7)

    (row,) = await readings.usage(snapshot, UsageQuery(FIRST, LAST, ("day",)))

    assert row.day == "2026-11-24" == today(snapshot, clock.second).isoformat()
    assert this_month(snapshot, clock.second) == (date(2026, 11, 1), date(2026, 11, 24))
    clock.set("2026-11-30T23:30:00+00:00")
    assert this_month(snapshot, clock.second) == (date(2026, 12, 1), date(2026, 12, 1))


async def test_a_year_of_two_hundred_teams_is_read_in_seconds(
    tmp_path: Path, store: StoreClient, readings: Readings, capsys: pytest.CaptureFixture[str]
) -> None:
    """Seeded as settling writes it: five keys and models a team and day."""
    snapshot = company(tmp_path)
    teams, days = [f"team-{at}" for at in range(200)], 365
    first = LAST - timedelta(days=days - 1)
    await store.sadd("th:slots", *(f"team:{team}" for team in teams))
    fields = {f"site|key-{at}|small": "10|2000|300|40|123456789|1" for at in range(5)}
    for team in teams:
        pipeline = store.pipeline(transaction=False)
        for back in range(days):
            day = (first + timedelta(days=back)).isoformat()
            pipeline.hset(f"th:{{team:{team}}}:usage:{day}", mapping=fields)
        await pipeline.execute()

    started = time.perf_counter()
    found = await readings.usage(snapshot, UsageQuery(first, LAST, ("team",)))
    seconds = time.perf_counter() - started

    assert {row.cost for row in found} == {5 * days * 123_456_789}
    assert len(found) == len(teams)
    with capsys.disabled():
        rows = len(teams) * days * len(fields)
        print(f"\n{days} days of {len(teams)} teams, {rows:,} rows: read in {seconds:.1f} s")


async def test_while_redis_is_away_every_reading_says_so(
    tmp_path: Path, redis_process: RedisProcess
) -> None:
    snapshot = company(tmp_path / "policy")
    readings = Readings(redis_process.url, 0.2)
    redis_process.kill()

    for reading in (
        lambda: readings.usage(snapshot, UsageQuery(FIRST, LAST, ("team",))),
        lambda: readings.usage(snapshot, UsageQuery(FIRST, LAST, ("team",), team="web")),
        lambda: readings.key_scopes(snapshot, "web-1"),
        lambda: readings.project_scopes(snapshot, "web", "site"),
        lambda: readings.team_scopes(snapshot, "web"),
        lambda: readings.model_scopes(snapshot, "small"),
        lambda: readings.budgets(snapshot, None),
        lambda: readings.watched(snapshot),
    ):
        with pytest.raises(LedgerUnavailable):
            await reading()
    await readings.close()
