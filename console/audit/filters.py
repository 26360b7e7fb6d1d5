"""Which lines are asked for, and the SQL condition of that. Pure.

A value with `*` or `?` in it is a pattern, as a shell's. All values are bound parameters.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from tollhouse.keyring.moments import MomentError, duration

Condition = tuple[str, list[Any]]
"""An SQL condition, and its parameters in order."""

_PATTERN: Final = re.compile(r"[*?]")
_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True, slots=True)
class Span:
    """A time as the logs write it, `2026-11-28T09:06:08.307Z`; `until` is not in it. None: open."""

    since: str | None = None
    until: str | None = None


@dataclass(frozen=True, slots=True)
class CallFilters:
    """Of the access log; None is any."""

    key: str | None = None
    team: str | None = None
    project: str | None = None
    model: str | None = None
    env: str | None = None
    decision: str | None = None


@dataclass(frozen=True, slots=True)
class ActionFilters:
    """Of the audit log; None is any. `decision` is its outcome."""

    actor: str | None = None
    action: str | None = None
    target: str | None = None
    decision: str | None = None


_COLUMNS: Final = {
    "key": "key_id",
    "model": "alias",
    "actor": "actor.id",
}


def condition(span: Span, filters: CallFilters | ActionFilters, also: str = "") -> Condition:
    """What a line must be; `also` is SQL of ours."""
    parts = ["time IS NOT NULL", *([also] if also else [])]
    if isinstance(filters, CallFilters):
        # Requests to the console stand in the same log, and are no calls.
        parts.append("(decision IS NOT NULL OR key_id IS NOT NULL)")
    values: list[Any] = []
    for bound, operator in ((span.since, ">="), (span.until, "<")):
        if bound is not None:
            parts.append(f"time {operator} ?")
            values.append(bound)
    for each in fields(filters):
        wanted = getattr(filters, each.name)
        if wanted is not None:
            column = _column(each.name, filters)
            parts.append(f"{column} {'GLOB' if _PATTERN.search(wanted) else '='} ?")
            values.append(wanted.replace("[", "[[]") if _PATTERN.search(wanted) else wanted)
    return " AND ".join(parts), values


def _column(name: str, filters: CallFilters | ActionFilters) -> str:
    if name == "decision" and isinstance(filters, ActionFilters):
        return "outcome"
    return _COLUMNS.get(name, name)


def span_of(first: str | None, last: str | None, now: datetime) -> Span:
    """A day (UTC) for `last` includes that day; a time is not included. Raises MomentError."""
    since = _moment(first, now) if first else None
    until = _moment(last, now) if last else None
    if until is not None and last is not None and _DAY.fullmatch(last):
        until += timedelta(days=1)
    if since is not None and until is not None and since >= until:
        raise MomentError(f"nothing is between {first} and {last}")
    return Span(written(since) if since else None, written(until) if until else None)


def _moment(text: str, now: datetime) -> datetime:
    """A day, a time (UTC unless it states an offset), or how long ago, such as `24h`."""
    try:
        if _DAY.fullmatch(text):
            day = date.fromisoformat(text)
            return datetime(day.year, day.month, day.day, tzinfo=UTC)
        if re.fullmatch(r"\d+[a-z]", text):
            return now - duration(text)
        when = datetime.fromisoformat(text)
        return when if when.tzinfo else when.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise MomentError(
            f"'{text}' is not a time: write 2026-11-28, 2026-11-28T09:00:00Z, or 24h (ago)"
        ) from None


def written(when: datetime) -> str:
    """As the logs write times."""
    when = when.astimezone(UTC)
    return f"{when:%Y-%m-%dT%H:%M:%S}.{when.microsecond // 1000:03}Z"
