"""What is told to people: that so much of a budget is spent, or that a team's day is dear. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

from console.reads.live import LiveLimit, LiveScope
from console.reads.spikes import Spike
from ratelimit_service.ledger.periods import Periods

Kind = Literal["budget", "spike"]

KINDS: Final[tuple[Kind, ...]] = ("budget", "spike")

_KEPT_AFTER_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class Alert:
    """One thing to tell, once.

    `about` is the limit ("monthly_spend_usd"), or "spike"; `period` is the label of its day, week
    or month; `percent` is the highest threshold of the budget that is crossed, `lower` are those
    below, which are not told beside it (0 and none for a spike). `spent` nano-dollars stand against
    `measure`: the budget, or a usual day. The period ends at `ends_at` (epoch seconds), in
    `ends_in_seconds`.
    """

    kind: Kind
    scope: LiveScope
    about: str
    period: str
    percent: int
    lower: tuple[int, ...]
    spent: int
    measure: int
    ends_at: int
    ends_in_seconds: float

    @property
    def identity(self) -> str:
        """Of all alerts of one budget in one period, or of one team's day. In braces is what
        places its key in a Redis Cluster."""
        scope = self.scope
        slot = f"team:{scope.team}" if scope.team else f"{scope.level}:{scope.name}"
        beside = f"#{scope.env}" if scope.env else f"@{scope.model}" if scope.model else ""
        return f"{{{slot}}}:{scope.level}:{scope.name}{beside}:{self.about}:{self.period}"

    @property
    def threshold(self) -> int:
        """Nano-dollars at which the percentage is reached, rounded up; 0 for a spike."""
        return -(-self.measure * self.percent // 100)

    @property
    def kept_seconds(self) -> int:
        """How long to remember that it was told: until its period is safely over."""
        return int(max(self.ends_in_seconds, 0)) + _KEPT_AFTER_SECONDS


def crossed_budgets(scopes: Iterable[LiveScope], percents: Iterable[int]) -> list[Alert]:
    """For each budget of each scope, the highest of `percents` of it that is spent. What running
    calls hold is not spent."""
    ascending = sorted(set(percents))
    return [
        alert
        for scope in scopes
        for limit, period in _budgets(scope)
        if (alert := _crossed(scope, limit, period, ascending)) is not None
    ]


def spike_alert(spike: Spike, scope: LiveScope, ends_at: int, now: float) -> Alert:
    """A team's day as something to tell; it ends at `ends_at`, `now` are epoch seconds, too."""
    return Alert(
        kind="spike",
        scope=scope,
        about="spike",
        period=spike.day.isoformat(),
        percent=0,
        lower=(),
        spent=spike.cost,
        measure=spike.usual,
        ends_at=ends_at,
        ends_in_seconds=ends_at - now,
    )


def _budgets(scope: LiveScope) -> Iterator[tuple[LiveLimit, str]]:
    for name, period in _periods(scope.periods).items():
        limit = scope.limit(name)
        if limit is not None:
            yield limit, period


def _periods(periods: Periods) -> dict[str, str]:
    return {
        "daily_spend_usd": periods.day,
        "weekly_spend_usd": periods.week,
        "monthly_spend_usd": periods.month,
    }


def _crossed(scope: LiveScope, limit: LiveLimit, period: str, ascending: list[int]) -> Alert | None:
    reached = [each for each in ascending if limit.used * 100 >= limit.limit * each]
    if not reached or not limit.used:
        return None
    return Alert(
        kind="budget",
        scope=scope,
        about=limit.name,
        period=period,
        percent=reached[-1],
        lower=tuple(reached[:-1]),
        spent=limit.used,
        measure=limit.limit,
        ends_at=limit.resets_at or 0,
        ends_in_seconds=limit.resets_in_seconds or 0.0,
    )
