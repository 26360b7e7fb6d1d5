"""The days of the org. Pure."""

from __future__ import annotations

from datetime import date

from ratelimit_service.ledger.periods import days_around, periods_at
from tollhouse.policy.compiled import Snapshot


def today(snapshot: Snapshot, now: float) -> date:
    """The day of `now` (epoch seconds) in the org's time zone."""
    return date.fromisoformat(periods_at(snapshot.org.time_zone, int(now)).day)


def this_month(snapshot: Snapshot, now: float) -> tuple[date, date]:
    """The first day of the month that `now` is in, and the day of `now`, in the org's time zone."""
    last = today(snapshot, now)
    return last.replace(day=1), last


def day_end(snapshot: Snapshot, day: str, now: float) -> int:
    """The first moment (epoch seconds) after `day`, a `YYYY-MM-DD` that is near `now`."""
    days = days_around(snapshot.org.time_zone, int(now))
    return next((each.end for each in days if each.periods.day == day), days[0].end)
