"""A month begins at midnight where the policy says; money stays in the month it was asked in."""

from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pytest

from ratelimit_service.ledger.errors import LedgerClockError
from ratelimit_service.ledger.ledger import Ledger
from ratelimit_service.ledger.periods import Periods, days_around
from ratelimit_service.ledger.store import open_redis
from ratelimit_service.ledger.types import Admitted, RefusalKind, Refused, SettleOutcome
from tests.ledger.builders import PATIENT, TEAM, FakeClock, claim, limit, settlement

BERLIN = "Europe/Berlin"
BEFORE_MIDNIGHT = "2026-10-31T23:59:59.999999+01:00"
MIDNIGHT = "2026-11-01T00:00:00+01:00"


def epoch(moment: str) -> int:
    return int(datetime.fromisoformat(moment).timestamp())


def test_the_days_around_a_moment_meet_and_contain_it() -> None:
    for zone in ("UTC", BERLIN, "America/New_York", "Asia/Kathmandu", "Pacific/Kiritimati"):
        for now in range(epoch("2025-12-01T00:00:00Z"), epoch("2027-02-01T00:00:00Z"), 9 * 3600):
            today, before, after = days_around(zone, now)
            local = datetime.fromtimestamp(now, ZoneInfo(zone))
            assert before.end == today.start <= now < today.end == after.start
            assert today.end <= today.week_end <= today.start + 7 * 86_400 + 3_600
            assert today.end <= today.month_end
            assert today.periods == Periods(
                local.strftime("%Y-%m-%d"), local.strftime("%G-W%V"), local.strftime("%Y-%m")
            )


def test_a_day_follows_daylight_saving() -> None:
    today, _, _ = days_around(BERLIN, epoch("2026-10-25T12:00:00Z"))

    assert (today.start, today.end) == (
        epoch("2026-10-25T00:00:00+02:00"),
        epoch("2026-10-26T00:00:00+01:00"),
    )
    assert (today.week_end, today.month_end) == (today.end, epoch("2026-11-01T00:00:00+01:00"))


def test_a_year_ends_with_its_december_and_its_week_where_iso_8601_says() -> None:
    today, _, tomorrow = days_around("UTC", epoch("2026-12-31T23:59:59Z"))

    assert today.periods == Periods("2026-12-31", "2026-W53", "2026-12")
    assert tomorrow.periods == Periods("2027-01-01", "2026-W53", "2027-01")


def test_a_zone_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(ZoneInfoNotFoundError):
        days_around("Europe/Atlantis", 0)


async def test_a_budget_begins_anew_at_midnight_of_its_time_zone(
    ledger: Ledger, clock: FakeClock
) -> None:
    limits = {"team": limit(spend=100)}
    clock.set(BEFORE_MIDNIGHT)
    spent = claim(limits, cost=100, time_zone=BERLIN)
    await ledger.admit(spent)
    await ledger.settle(settlement(spent, cost=100))
    answer = await ledger.admit(claim(limits, cost=1, time_zone=BERLIN))
    assert isinstance(answer, Refused)
    assert answer.kind is RefusalKind.BUDGET_EXCEEDED
    assert (answer.resets_at, answer.retry_after_ms) == (epoch(MIDNIGHT), 1)

    clock.set(MIDNIGHT)
    answer_after = await ledger.admit(claim(limits, cost=100, time_zone=BERLIN))

    assert isinstance(answer_after, Admitted)
    assert {state.periods.month for state in answer_after.states} == {"2026-11"}


async def test_what_was_reserved_in_the_old_month_is_settled_there_in_the_new_one(
    ledger: Ledger, clock: FakeClock
) -> None:
    limits = {"team": limit(spend=1_000)}
    clock.set(BEFORE_MIDNIGHT)
    asked = claim(limits, cost=1_000, time_zone=BERLIN, id_ms=clock.millis)
    await ledger.admit(asked)
    clock.set(MIDNIGHT)
    # What runs over midnight may end up in either month, so until it ends it counts in both.
    across = await ledger.admit(claim(limits, cost=1_000, time_zone=BERLIN))
    assert isinstance(across, Refused)
    assert across.kind is RefusalKind.BUDGET_RESERVED

    await ledger.settle(settlement(asked, cost=400))
    assert isinstance(await ledger.admit(claim(limits, cost=1_000, time_zone=BERLIN)), Admitted)

    assert await ledger.spend(TEAM, "team", "2026-10") == (400, 1_000)
    assert await ledger.spend(TEAM, "team", "2026-11") == (0, 1_000)


async def test_a_late_correction_goes_to_the_month_that_was_charged(
    ledger: Ledger, clock: FakeClock
) -> None:
    clock.set(BEFORE_MIDNIGHT)
    asked = claim(cost=1_000, time_zone=BERLIN, lease_seconds=60, id_ms=clock.millis)
    await ledger.admit(asked)
    clock.advance(120)
    await ledger.sweep([TEAM])

    assert await ledger.settle(settlement(asked, cost=400)) is SettleOutcome.CORRECTED
    assert await ledger.spend(TEAM, "team", "2026-10") == (400, 0)
    assert await ledger.spend(TEAM, "team", "2026-11") == (0, 0)


async def test_an_unknown_request_is_charged_to_the_month_of_its_id(
    ledger: Ledger, clock: FakeClock
) -> None:
    clock.set(BEFORE_MIDNIGHT)
    asked = claim(cost=1_000, time_zone=BERLIN, id_ms=clock.millis)
    clock.set(MIDNIGHT)

    assert await ledger.settle(settlement(asked, cost=400)) is SettleOutcome.UNKNOWN
    assert await ledger.spend(TEAM, "team", "2026-10") == (400, 0)


async def test_a_store_whose_clock_is_days_away_is_an_error(
    redis_url: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.time", lambda: epoch("2020-01-01T00:00:00Z"))
    ledger = Ledger(open_redis(redis_url, timeout_seconds=PATIENT), timeout_seconds=PATIENT)

    with pytest.raises(LedgerClockError):
        await ledger.admit(claim())
    await ledger.close()
