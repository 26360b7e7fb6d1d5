"""Rows of usage added up in the ways that pages show them. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from console.pages.views import numbers
from console.pages.views.charts import BarChart, Point, bar_chart
from console.reads.usage import UsageRow


def by(rows: Iterable[UsageRow], name: str, amount: Callable[[UsageRow], int]) -> Counter[str]:
    """An amount by team, project, key, model or day."""
    sums: Counter[str] = Counter()
    for row in rows:
        sums[getattr(row, name) or ""] += amount(row)
    return sums


@dataclass(frozen=True, slots=True)
class Span:
    """The days that charts show, both inclusive."""

    first: date
    last: date

    @property
    def days(self) -> list[str]:
        """Every day, ISO."""
        count = (self.last - self.first).days + 1
        return [(self.first + timedelta(days=each)).isoformat() for each in range(count)]

    def month(self, rows: Iterable[UsageRow]) -> list[UsageRow]:
        """The rows of the last day's month."""
        return since(rows, self.last.replace(day=1))


def cost(row: UsageRow) -> int:
    """Nano-dollars."""
    return row.cost


def requests(row: UsageRow) -> int:
    """Requests that were let through and have ended."""
    return row.requests


def refusals(row: UsageRow) -> int:
    """Of all codes."""
    return sum(row.refusals.values())


def refusals_by_code(rows: Iterable[UsageRow]) -> Counter[str]:
    """How often each reason was given."""
    sums: Counter[str] = Counter()
    for row in rows:
        sums.update(row.refusals)
    return sums


def since(rows: Iterable[UsageRow], first: date) -> list[UsageRow]:
    """The rows of that day and later."""
    return [row for row in rows if (row.day or "") >= first.isoformat()]


def spend_chart(id: str, rows: Sequence[UsageRow], span: Span) -> BarChart:
    """USD by day."""
    amounts = by(rows, "day", cost)
    return bar_chart(id, "Spend a day", points(amounts, span), numbers.usd, numbers.usd_short)


def request_chart(id: str, rows: Sequence[UsageRow], span: Span) -> BarChart:
    """Requests by day."""
    amounts = by(rows, "day", requests)
    return bar_chart(id, "Requests a day", points(amounts, span), numbers.count, numbers.short)


def points(amounts: Counter[str], span: Span) -> list[Point]:
    """A bar for each day, also for those without use."""
    return [Point(numbers.day_words(day), _full(day), amounts[day]) for day in span.days]


def _full(day: str) -> str:
    found = date.fromisoformat(day)
    return f"{found:%A} {numbers.day_words(found)}"
