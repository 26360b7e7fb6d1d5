"""Usage as a table and as charts. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from console.pages.views import numbers, sums
from console.pages.views.charts import BarChart
from console.pages.views.known import Known
from console.pages.views.sums import Span
from console.reads.usage import Dimension, UsageRow, total

MOST_DAYS: Final = 400
_MOST_ROWS: Final = 500
DIMENSION_WORDS: Final[tuple[tuple[Dimension, str], ...]] = (
    ("team", "Team"),
    ("project", "Project"),
    ("key", "Key"),
    ("model", "Model"),
    ("day", "Day"),
)


@dataclass(frozen=True, slots=True)
class Line:
    """A sum. `width` is of 100, against the dearest line."""

    name: str
    href: str | None
    requests: str
    input_tokens: str
    output_tokens: str
    cached: str
    refusals: str
    errors: str
    cost: str
    share: str
    width: float


@dataclass(frozen=True, slots=True)
class Table:
    """`more`: how many lines are not shown."""

    heading: str
    lines: list[Line]
    total: Line
    more: int


def chosen(fields: Mapping[str, str | None]) -> dict[str, str]:
    """What the form holds."""
    found = {name: value or "" for name, value in fields.items()}
    return {**found, "group_by": found["group_by"] or "team"}


def day(text: str) -> date | None:
    """None: it is none."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def months(today: date) -> list[tuple[str, str, str]]:
    """This month and those before it: name, first and last day."""
    found = []
    last = today
    for _ in range(4):
        first = last.replace(day=1)
        found.append((f"{first:%B %Y}", first.isoformat(), last.isoformat()))
        last = first - timedelta(days=1)
    return found


def table(known: Known, rows: Sequence[UsageRow], dimensions: Sequence[Dimension]) -> Table:
    """As the query grouped them."""
    whole = total(rows)
    most = max((row.cost for row in rows), default=0)
    words = dict(DIMENSION_WORDS)
    return Table(
        heading=words[dimensions[-1]],
        lines=[_line(known, row, dimensions, whole.cost, most) for row in rows[:_MOST_ROWS]],
        total=_line(known, whole, (), whole.cost, most),
        more=max(len(rows) - _MOST_ROWS, 0),
    )


def charts(rows: Sequence[UsageRow], span: Span) -> list[BarChart]:
    """Spend and requests by day."""
    return [
        sums.spend_chart("spend", rows, span),
        sums.request_chart("requests", rows, span),
    ]


def _line(
    known: Known, row: UsageRow, dimensions: Sequence[Dimension], whole: int, most: int
) -> Line:
    return Line(
        name=_name(row, dimensions),
        href=_href(known, row, dimensions),
        requests=numbers.count(row.requests),
        input_tokens=numbers.short(row.input_tokens),
        output_tokens=numbers.short(row.output_tokens),
        cached=numbers.short(row.cached_input_tokens),
        refusals=numbers.count(sums.refusals(row)),
        errors=numbers.count(row.errors),
        cost=numbers.usd(row.cost),
        share=numbers.percent(row.cost, whole),
        width=round(row.cost / most * 100, 2) if most else 0.0,
    )


def _name(row: UsageRow, dimensions: Sequence[Dimension]) -> str:
    if not dimensions:
        return "In all"
    if dimensions[-1] == "day":
        return numbers.day_words(row.day or "")
    return " / ".join(str(getattr(row, each)) for each in dimensions)


def _href(known: Known, row: UsageRow, dimensions: Sequence[Dimension]) -> str | None:
    if not dimensions or dimensions[-1] == "day":
        return None
    if dimensions[-1] == "project":
        return known.project(row.team or "", row.project or "")
    name = getattr(row, dimensions[-1])
    return {"team": known.team, "key": known.key, "model": known.model}[dimensions[-1]](name)
