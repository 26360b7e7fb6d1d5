"""The days of the org. Pure."""

from __future__ import annotations

from datetime import date

from ratelimit_service.ledger.periods import periods_at
from tollhouse.policy.compiled import Snapshot


def today(snapshot: Snapshot, now: float) -> date:
    """The day of `now` (epoch seconds) in the org's time zone."""
    return date.fromisoformat(periods_at(snapshot.org.time_zone, int(now)).day)


def this_month(snapshot: Snapshot, now: float) -> tuple[date, date]:
    """The first day of the month that `now` is in, and the day of `now`, in the org's time zone."""
    last = today(snapshot, now)
    return last.replace(day=1), last
