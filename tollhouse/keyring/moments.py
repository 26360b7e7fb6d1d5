"""Moments and durations as they are given on the command line."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

_DURATION = re.compile(r"(\d{1,5})([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class MomentError(ValueError):
    """The text is neither; the message says what to write."""


def duration(text: str) -> timedelta:
    """`12h`, `7d`, `30d`, `90m`, or `0`. Raises MomentError."""
    if text == "0":
        return timedelta()
    found = _DURATION.fullmatch(text)
    if not found:
        raise MomentError(f"'{text}' is not a duration: write 12h, 7d or 30d")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def moment(text: str, now: datetime) -> date:
    """`2030-12-31` (a date), `2030-12-31T18:00:00Z`, `30d` from now, or `now`. Raises MomentError.

    A time has whole seconds and is in UTC unless it states an offset.
    """
    if text == "now":
        return now.replace(microsecond=0)
    if _DURATION.fullmatch(text):
        return whole_second_after(now + duration(text))
    try:
        return date.fromisoformat(text) if len(text) <= len("2030-12-31") else _time(text)
    except ValueError:
        raise MomentError(
            f"'{text}' is not a date: write YYYY-MM-DD, a time such as 2030-12-31T18:00:00Z,"
            " or a duration such as 30d"
        ) from None


def whole_second_after(when: datetime) -> datetime:
    """The next whole second, so that nothing ends earlier than was said."""
    return (when + timedelta(seconds=when.microsecond > 0)).replace(microsecond=0)


def said(seconds: float) -> str:
    """A moment, in seconds since the epoch, for people: `2026-12-05 00:00:00 UTC`."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"


def iso(seconds: float) -> str:
    """A moment, in seconds since the epoch, for programs: `2026-12-05T00:00:00Z`."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _time(text: str) -> datetime:
    when = datetime.fromisoformat(text).replace(microsecond=0)
    return when if when.tzinfo else when.replace(tzinfo=UTC)
