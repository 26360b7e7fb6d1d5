"""The months around a moment, in the time zone of a policy.

The store's clock decides which month a request falls in; the scripts cannot do calendars, so they
are given the three months that it can be: by the caller's clock the last, this, and the next.
"""

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

# Months of every zone in the IANA database begin on a quarter of an hour.
_QUARTER = 900


@dataclass(frozen=True, slots=True)
class Month:
    """`label` is `YYYY-MM`; `start` and `end` are epoch seconds, `end` the first after it."""

    label: str
    start: int
    end: int


def months_around(time_zone: str, now: int) -> tuple[Month, Month, Month]:
    """The months before, at and after `now` (epoch seconds) in `time_zone` (an IANA name).

    Raises zoneinfo.ZoneInfoNotFoundError for a zone that does not exist.
    """
    return _months_around(time_zone, now // _QUARTER)


@lru_cache(maxsize=64)
def _months_around(time_zone: str, quarter: int) -> tuple[Month, Month, Month]:
    zone = ZoneInfo(time_zone)
    today = datetime.fromtimestamp(quarter * _QUARTER, zone)
    serial = today.year * 12 + today.month - 1
    return (_month(serial - 1, zone), _month(serial, zone), _month(serial + 1, zone))


def _month(serial: int, zone: ZoneInfo) -> Month:
    year, month = divmod(serial, 12)
    return Month(
        f"{year:04}-{month + 1:02}", _first_second(serial, zone), _first_second(serial + 1, zone)
    )


def _first_second(serial: int, zone: ZoneInfo) -> int:
    year, month = divmod(serial, 12)
    return int(datetime(year, month + 1, 1, tzinfo=zone).timestamp())
