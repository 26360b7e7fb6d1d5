"""How much of a limit is used, as a bar of 100 units with marks; and the same in words. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from console.pages.views import numbers
from console.reads.live import LiveLimit, LiveScope, Unit

State = Literal["calm", "high", "over"]

MARKS: Final = (50, 80, 100)
_HIGH: Final = 80
_NAMES: Final = {
    "requests_per_minute": "Requests a minute",
    "tokens_per_minute": "Tokens a minute",
    "requests_per_day": "Requests a day",
    "tokens_per_day": "Tokens a day",
    "max_parallel_requests": "Calls at once",
    "daily_spend_usd": "Spend a day",
    "weekly_spend_usd": "Spend a week",
    "monthly_spend_usd": "Spend a month",
}
_STATES: Final[dict[State, str]] = {"calm": "within", "high": "nearly used up", "over": "used up"}
_WORDS: Final[dict[Unit, Callable[[int], str]]] = {
    "requests": numbers.count,
    "tokens": numbers.count,
    "calls": numbers.count,
    "nanousd": numbers.usd,
}


@dataclass(frozen=True, slots=True)
class Gauge:
    """`used` and `reserved` are widths, `marks` places; all of 100. `words` is the whole of it for
    who cannot see the bar."""

    used: float
    reserved: float
    marks: tuple[float, ...]
    state: State
    percent: str
    words: str

    @property
    def state_words(self) -> str:
        """Beside the bar, so that colour alone says nothing."""
        return _STATES[self.state]


@dataclass(frozen=True, slots=True)
class LimitRow:
    """One limit of one scope, as a line of a table."""

    name: str
    field: str
    gauge: Gauge
    used: str
    reserved: str
    left: str
    limit: str
    resets: str


@dataclass(frozen=True, slots=True)
class ScopeRows:
    """The limits of one scope. `where`: "key web-1", "project site for model small"."""

    where: str
    level: str
    href: str | None
    rows: tuple[LimitRow, ...]


def gauge(used: int, reserved: int, limit: int, marks: Sequence[int] = ()) -> Gauge:
    """Of amounts, 0 or more; `marks` are percent of the limit."""
    whole = max(limit, used + reserved, 1)
    state = state_of(used + reserved, limit)
    share = numbers.percent(used + reserved, limit)
    return Gauge(
        used=_share(used, whole),
        reserved=_share(reserved, whole),
        marks=tuple(_share(limit * mark, whole * 100) for mark in marks if mark <= 100),
        state=state,
        percent=share,
        words=f"{share}, {_STATES[state]}",
    )


def state_of(taken: int, limit: int) -> State:
    """A limit of nothing is used up from the start."""
    if taken >= limit:
        return "over"
    return "high" if taken * 100 >= limit * _HIGH else "calm"


def limit_row(limit: LiveLimit, marks: Sequence[int] = ()) -> LimitRow:
    """As the ledger tells it."""
    words = _WORDS[limit.unit]
    return LimitRow(
        name=_NAMES[limit.name],
        field=limit.name,
        gauge=gauge(limit.used, limit.reserved, limit.limit, marks),
        used=words(limit.used),
        reserved=words(limit.reserved) if limit.reserved else numbers.NOTHING,
        left=words(limit.left),
        limit=words(limit.limit),
        resets=_resets(limit),
    )


def limit_name(field: str) -> str:
    """ "Spend a month" of "monthly_spend_usd"."""
    return _NAMES[field]


def scope_rows(
    scopes: Iterable[LiveScope], href: Callable[[LiveScope], str | None]
) -> list[ScopeRows]:
    """Of the scopes that have any limit."""
    return [
        ScopeRows(
            where=scope.where,
            level=scope.level,
            href=href(scope),
            rows=tuple(limit_row(limit) for limit in scope.limits),
        )
        for scope in scopes
        if scope.limits
    ]


def _resets(limit: LiveLimit) -> str:
    if limit.resets_in_seconds is not None:
        return f"in {numbers.duration(limit.resets_in_seconds)}"
    return "when calls end" if limit.unit == "calls" else numbers.NOTHING


def _share(part: int, whole: int) -> float:
    return round(min(part / whole, 1.0) * 100, 2)
