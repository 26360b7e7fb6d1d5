"""Numbers, money and times as people read them. Pure."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Final

from tollhouse.money import NANO_PER_USD, format_usd

NOTHING: Final = "\N{EN DASH}"
"""Where there is no number to show."""
_MINUS: Final = "\N{MINUS SIGN}"
_CENT: Final = NANO_PER_USD // 100
_TENTH_OF_MILLI: Final = NANO_PER_USD // 10_000
_SCALES: Final = ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "k"))
_DAY, _HOUR, _MINUTE = 86_400, 3_600, 60


def usd(nano: int) -> str:
    """ "$1,234.50": to the cent; below a cent to four decimals, so that small is not nothing.
    Halves are rounded up, here and in all that follows."""
    if nano < 0:
        return f"{_MINUS}{usd(-nano)}"
    # What rounds up to a cent is one.
    if nano == 0 or nano >= _CENT - _TENTH_OF_MILLI // 2:
        cents = _rounded(nano, _CENT)
        return f"${cents // 100:,}.{cents % 100:02}"
    if nano < _TENTH_OF_MILLI:
        return "<$0.0001"
    return f"$0.{_rounded(nano, _TENTH_OF_MILLI):04}"


def usd_exact(nano: int) -> str:
    """To the nano-dollar."""
    return format_usd(nano)


def usd_short(nano: int) -> str:
    """For an axis: "$1.2 k", "$250", "$0.05"."""
    if nano >= 1000 * NANO_PER_USD:
        return f"${short(_rounded(nano, NANO_PER_USD))}"
    return format_usd(nano).removesuffix(".00")


def count(number: int) -> str:
    """ "1,234,567"."""
    return f"{number:,}"


def short(number: int) -> str:
    """Three digits: "1.23 M", "12.3 k", "950"."""
    for scale, unit in _SCALES:
        # What rounds up to 1000 of a unit is 1 of the next.
        if number * 2000 >= scale * 1999:
            return f"{_three_digits(number, scale)} {unit}"
    return str(number)


def percent(part: int, whole: int) -> str:
    """ "82%"; of nothing, or of no whole, "0%"; never "100%" of what is not all."""
    if whole <= 0:
        return "0%" if part <= 0 else "over 100%"
    share = part * 100 / whole
    if 0 < share < 1:
        return "<1%"
    return f"{int(share):,}%"


def per_million(nano: int) -> str:
    """A price: "$0.15"."""
    return format_usd(nano)


def day_words(day: str | date) -> str:
    """ "28 Nov" of an ISO day."""
    found = date.fromisoformat(day) if isinstance(day, str) else day
    return f"{found.day} {found:%b}"


def moment(epoch_seconds: float) -> str:
    """ "28 Nov 2026, 13:05 UTC"."""
    found = datetime.fromtimestamp(epoch_seconds, UTC)
    return f"{found.day} {found:%b %Y, %H:%M} UTC"


def iso(epoch_seconds: float) -> str:
    """For the `datetime` of a <time>."""
    return datetime.fromtimestamp(epoch_seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def duration(seconds: float) -> str:
    """The two largest parts: "3 d 4 h", "12 min", "8 s"."""
    left = max(round(seconds), 0)
    parts: list[str] = []
    for size, unit in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min"), (1, "s")):
        amount, left = divmod(left, size)
        if amount or (unit == "s" and not parts):
            parts.append(f"{amount} {unit}")
        elif parts:
            break
    return " ".join(parts[:2])


def ago(then: float, now: float) -> str:
    """ "5 min ago"."""
    return "just now" if now - then < 5 else f"{_largest(now - then)} ago"


def until(then: float, now: float) -> str:
    """ "in 3 d"; "5 min ago" of what has been."""
    return f"in {_largest(then - now)}" if then > now else ago(then, now)


def plural(number: int, noun: str) -> str:
    """ "1 key", "12 keys"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _largest(seconds: float) -> str:
    if seconds >= 2 * 365 * _DAY:
        return f"{int(seconds // (365.25 * _DAY))} years"
    parts = duration(seconds).split(" ")
    return " ".join(parts[:2])


def _three_digits(number: int, scale: int) -> str:
    decimals = 2 if number < 10 * scale else 1 if number < 100 * scale else 0
    # In whole numbers: floats round 12.35 down.
    whole, part = divmod(_rounded(number * 10**decimals, scale), 10**decimals)
    return f"{whole}.{part:0{decimals}}".rstrip("0").rstrip(".") if part else str(whole)


def _rounded(number: int, unit: int) -> int:
    return (2 * number + unit) // (2 * unit)
