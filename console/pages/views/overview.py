"""The first page: the month in money, and what wants attention. Pure."""

from __future__ import annotations

import calendar
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from console.actors import Actor
from console.pages.views import links, numbers, sums
from console.pages.views.charts import BarChart, Ranked, ranked
from console.pages.views.gauges import MARKS, Gauge, gauge
from console.pages.views.known import Known
from console.pages.views.sums import Span
from console.reads.live import LiveScope
from console.reads.spikes import Spike, spikes
from console.reads.usage import UsageRow
from tollhouse.policy.compiled import Key, Snapshot
from tollhouse.policy.lifetimes import state_of

_SPIKE_TIMES, _SPIKE_AT_LEAST = 3.0, 5_000_000_000
_MOST_EXPIRING: Final = 6


@dataclass(frozen=True, slots=True)
class Budget:
    """A team's or the org's month. `gauge` is None where there is no monthly budget."""

    name: str
    href: str | None
    spent: int
    reserved: int
    limit: int | None
    gauge: Gauge | None
    forecast: int | None

    @property
    def will_exceed(self) -> bool:
        """Whether the month, going on as it did, ends over budget."""
        return bool(self.limit and self.forecast and self.forecast > self.limit)


@dataclass(frozen=True, slots=True)
class Expiring:
    """A key that ends soon, or has ended."""

    id: str
    href: str
    team: str
    when: str
    is_over: bool


@dataclass(frozen=True, slots=True)
class Unusual:
    """A team's day that costs much more than its days do."""

    team: str
    href: str | None
    cost: str
    usual: str
    times: str


@dataclass(frozen=True, slots=True)
class Totals:
    """Of the month and of the last days, in words."""

    spent: int
    forecast: int | None
    requests: int
    tokens: int
    refusals: int
    errors: int


@dataclass(frozen=True, slots=True)
class Figures:
    """All that the ledger says for this page."""

    totals: Totals
    whole: Budget | None
    teams: list[Budget]
    spend: BarChart
    requests: BarChart
    refusals: list[Ranked]
    models: list[Ranked]
    keys: list[Ranked]
    unusual: list[Unusual]


def figures(
    snapshot: Snapshot,
    scopes: Sequence[LiveScope],
    rows: Sequence[UsageRow],
    key_rows: Sequence[UsageRow],
    span: Span,
) -> Figures:
    """`rows` are by day, team and model from `span` on; `key_rows` the month's, by key."""
    marks, known = marks_of(snapshot), Known(snapshot)
    today, month = span.last, span.month(rows)
    budgets = [budget(scope, today, marks) for scope in scopes]
    teams = [each for each, scope in zip(budgets, scopes, strict=True) if scope.level == "team"]
    whole = next((b for b, s in zip(budgets, scopes, strict=True) if s.level == "org"), None)
    return Figures(
        totals=_totals(month, today),
        whole=whole,
        teams=sorted(teams, key=_urgency),
        spend=sums.spend_chart("spend", rows, span),
        requests=sums.request_chart("requests", rows, span),
        refusals=ranked(
            [(code, number, None) for code, number in sums.refusals_by_code(rows).items()],
            numbers.count,
        ),
        models=ranked(
            [
                (name, amount, known.model(name))
                for name, amount in sums.by(month, "model", sums.cost).items()
            ],
            numbers.usd,
            6,
        ),
        keys=ranked(
            [
                (name, amount, known.key(name))
                for name, amount in sums.by(key_rows, "key", sums.cost).items()
            ],
            numbers.usd,
            6,
        ),
        unusual=unusual(snapshot, rows, today),
    )


def budget(scope: LiveScope, today: date, marks: Sequence[int]) -> Budget:
    """The month of a team or the org."""
    limit = scope.limit("monthly_spend_usd")
    return Budget(
        name=scope.name,
        href=links.team(scope.name) if scope.level == "team" else None,
        spent=scope.spent_this_month,
        reserved=scope.held or 0,
        limit=limit.limit if limit else None,
        gauge=gauge(limit.used, limit.reserved, limit.limit, marks) if limit else None,
        forecast=forecast(scope.spent_this_month, today),
    )


def forecast(spent: int, today: date) -> int | None:
    """What the whole month costs if its days go on as they did; None on its first two days."""
    if today.day < 3:
        return None
    return spent * calendar.monthrange(today.year, today.month)[1] // today.day


def marks_of(snapshot: Snapshot) -> tuple[int, ...]:
    """Where budgets have their marks: where alerts are told, if any are."""
    alerts = snapshot.management.alerts if snapshot.management else None
    return tuple(alerts.budget_percent) if alerts else MARKS


def unusual(snapshot: Snapshot, rows: Iterable[UsageRow], today: date) -> list[Unusual]:
    """Today's, by the rule that alerts go by."""
    costs: dict[str, dict[date, int]] = {}
    for row in rows:
        days = costs.setdefault(row.team or "", {})
        day = date.fromisoformat(row.day or "")
        days[day] = days.get(day, 0) + row.cost
    alerts = snapshot.management.alerts if snapshot.management else None
    times = alerts.spike_times if alerts else _SPIKE_TIMES
    at_least = alerts.spike_at_least if alerts else _SPIKE_AT_LEAST
    return [_unusual(each, Known(snapshot)) for each in spikes(costs, today, times, at_least)]


def expiring(actor: Actor, keys: Iterable[Key], now: float) -> tuple[list[Expiring], int]:
    """Those that end first, and how many there are in all."""
    found = [
        key
        for key in keys
        if actor.sees(key.team) and state_of(key, now) == "expiring" and key.expires_at is not None
    ]
    found.sort(key=lambda key: (key.expires_at or 0, key.id))
    shown = [
        Expiring(
            id=key.id,
            href=links.key(key.id),
            team=key.team,
            when=numbers.until(key.expires_at or 0, now),
            is_over=False,
        )
        for key in found[:_MOST_EXPIRING]
    ]
    return shown, len(found)


def _totals(month: Sequence[UsageRow], today: date) -> Totals:
    spent = sum(row.cost for row in month)
    return Totals(
        spent=spent,
        forecast=forecast(spent, today),
        requests=sum(row.requests for row in month),
        tokens=sum(row.input_tokens + row.output_tokens for row in month),
        refusals=sum(map(sums.refusals, month)),
        errors=sum(row.errors for row in month),
    )


def _urgency(budget: Budget) -> tuple[float, int, str]:
    share = budget.spent / budget.limit if budget.limit else 0.0
    return (-share, -budget.spent, budget.name)


def _unusual(spike: Spike, known: Known) -> Unusual:
    times = f"{spike.cost / spike.usual:.1f} times" if spike.usual else "from nothing"
    return Unusual(
        team=spike.team,
        href=known.team(spike.team),
        cost=numbers.usd(spike.cost),
        usual=numbers.usd(spike.usual),
        times=times,
    )
