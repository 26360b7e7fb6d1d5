"""The days around a moment, and the weeks and months they lie in, in the time zone of a policy.

The store's clock decides which day a request falls in; the scripts cannot do calendars, so they
are given the three days that it can be: by the caller's clock today, yesterday and tomorrow.
"""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

# Days of every zone in the IANA database begin on a quarter of an hour.
_QUARTER = 900


@dataclass(frozen=True, slots=True)
class Periods:
    """The labels of one day: `2026-11-24`, its ISO week `2026-W48`, its month `2026-11`."""

    day: str
    week: str
    month: str

    def packed(self) -> str:
        """As scripts take them."""
        return f"{self.day}|{self.week}|{self.month}"


@dataclass(frozen=True, slots=True)
class Day:
    """One calendar day. All times are epoch seconds; an end is the first second after.

    A week begins on Monday (ISO 8601).
    """

    periods: Periods
    start: int
    end: int
    week_end: int
    month_end: int


def days_around(time_zone: str, now: int) -> tuple[Day, Day, Day]:
    """The day of `now` (epoch seconds) in `time_zone` (an IANA name), the one before, the next.

    Raises zoneinfo.ZoneInfoNotFoundError for a zone that does not exist.
    """
    return _days_around(time_zone, now // _QUARTER)


def periods_at(time_zone: str, second: int) -> Periods:
    """The labels of the moment `second` (epoch seconds). Raises as `days_around`."""
    return days_around(time_zone, second)[0].periods


@lru_cache(maxsize=1024)
def _days_around(time_zone: str, quarter: int) -> tuple[Day, Day, Day]:
    zone = ZoneInfo(time_zone)
    today = datetime.fromtimestamp(quarter * _QUARTER, zone).date()
    one = timedelta(days=1)
    return _day(today, zone), _day(today - one, zone), _day(today + one, zone)


def _day(day: date, zone: ZoneInfo) -> Day:
    tomorrow = day + timedelta(days=1)
    next_monday = day + timedelta(days=7 - day.weekday())
    next_month = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
    year, week, _ = day.isocalendar()
    return Day(
        periods=Periods(day.isoformat(), f"{year:04}-W{week:02}", f"{day.year:04}-{day.month:02}"),
        start=_first_second(day, zone),
        end=_first_second(tomorrow, zone),
        week_end=_first_second(next_monday, zone),
        month_end=_first_second(next_month, zone),
    )


def _first_second(day: date, zone: ZoneInfo) -> int:
    return int(datetime.combine(day, time.min, zone).timestamp())
