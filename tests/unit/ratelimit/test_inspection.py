"""Which days of a team's history are shown."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from ratelimit_service.inspection import day_labels

LATE = datetime(2026, 11, 28, 23, 30, tzinfo=UTC)
IN_BERLIN = LATE.astimezone(ZoneInfo("Europe/Berlin"))


def test_today_is_the_day_of_the_policy_s_time_zone_and_not_that_of_the_host() -> None:
    labels = day_labels((None, None), IN_BERLIN)
    assert (labels[0], labels[-1], len(labels)) == ("2026-10-30", "2026-11-29", 31)


def test_without_a_first_day_it_is_thirty_before_the_last() -> None:
    labels = day_labels((None, date(2026, 3, 1)), IN_BERLIN)
    assert (labels[0], labels[-1]) == ("2026-01-30", "2026-03-01")


def test_one_day_is_that_day_alone() -> None:
    day = date(2026, 11, 24)
    assert day_labels((day, day), IN_BERLIN) == ["2026-11-24"]
