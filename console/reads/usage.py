"""What was used, grouped as people ask for it: by team, project, key, model or day. Pure."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Final, Literal, get_args

from ratelimit_service.ledger.daily import DailyUsage
from tollhouse.money import nano_to_usd

Dimension = Literal["team", "project", "key", "model", "day"]

DIMENSIONS: Final[tuple[Dimension, ...]] = get_args(Dimension)

LONGEST_DAYS: Final = 3660
"""No history is kept longer: see `usage_retention_days` of the policy."""

_AMOUNTS: Final = (
    *("requests", "input_tokens", "output_tokens", "cached_input_tokens", "cost", "errors"),
)
# How a spreadsheet knows a formula; with tab and carriage return, as OWASP's page on CSV injection
# lists them.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, slots=True)
class UsageQuery:
    """Which history, and how to sum it up. Days are inclusive, in the org's time zone.

    `team`, `project`, `key` and `model` select, None is all. `teams` are those that whoever asks
    may see, None is all. Raises ValueError: the days are in the wrong order or too many, or a
    dimension is named twice.
    """

    first: date
    last: date
    group_by: tuple[Dimension, ...]
    team: str | None = None
    project: str | None = None
    key: str | None = None
    model: str | None = None
    teams: frozenset[str] | None = None

    def __post_init__(self) -> None:
        if self.last < self.first:
            raise ValueError(f"{self.last} is before {self.first}: the first day comes first")
        if (self.last - self.first).days >= LONGEST_DAYS:
            raise ValueError(f"more than {LONGEST_DAYS} days: no history is kept that long")
        if len(set(self.group_by)) < len(self.group_by):
            raise ValueError("a dimension to group by is named twice")

    @property
    def dimensions(self) -> tuple[Dimension, ...]:
        """What rows are told apart by: `group_by`, and the team where that has the project, whose
        name is unique within its team only."""
        if "project" not in self.group_by or "team" in self.group_by:
            return self.group_by
        return ("team", *self.group_by)

    def days(self) -> Iterator[str]:
        """Every day, `YYYY-MM-DD`."""
        for offset in range((self.last - self.first).days + 1):
            yield (self.first + timedelta(days=offset)).isoformat()

    def sees(self, team: str) -> bool:
        """Whether usage of this team is asked for, and may be seen."""
        return self.team in (None, team) and (self.teams is None or team in self.teams)


@dataclass(slots=True)
class UsageRow:
    """A sum. What it was not grouped by is None. `cost` is nano-dollars; `refusals` is by decision
    code and not part of `requests`, `errors` (the provider failed) are."""

    day: str | None = None
    team: str | None = None
    project: str | None = None
    key: str | None = None
    model: str | None = None
    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_input_tokens: int = 0
    cost: int = 0
    errors: int = 0
    refusals: dict[str, int] = field(default_factory=dict)


class Grouping:
    """Sums up the history as it is read, so that a long one need not be in memory at once."""

    def __init__(self, query: UsageQuery) -> None:
        self._query = query
        self._days = (query.first.isoformat(), query.last.isoformat())
        self._sums: dict[tuple[str, ...], UsageRow] = {}

    def add(self, rows: Iterable[DailyUsage]) -> None:
        """Count those that the query asks for."""
        dimensions = self._query.dimensions
        for each in filter(self._is_asked, rows):
            names = tuple(_name(each, dimension) for dimension in dimensions)
            row = self._sums.get(names)
            if row is None:
                row = self._sums[names] = _empty(dimensions, names)
            _add(row, each)

    def rows(self) -> list[UsageRow]:
        """The sums: by day if they have one, then what cost most, then by name."""
        return sorted(self._sums.values(), key=_order)

    def _is_asked(self, row: DailyUsage) -> bool:
        query, (first, last) = self._query, self._days
        return (
            first <= row.day <= last
            and query.sees(row.team)
            and query.project in (None, row.project)
            and query.key in (None, row.key)
            and query.model in (None, row.alias)
        )


def group(rows: Iterable[DailyUsage], query: UsageQuery) -> list[UsageRow]:
    """The history summed up as the query asks: by day if it has one, then what cost most."""
    grouping = Grouping(query)
    grouping.add(rows)
    return grouping.rows()


def total(rows: Iterable[UsageRow]) -> UsageRow:
    """All of them together."""
    whole = UsageRow()
    for row in rows:
        _add(whole, row)
    return whole


def as_csv(rows: Iterable[UsageRow], group_by: Iterable[Dimension]) -> str:
    """With a header. Money is exact decimal USD, refusals a JSON object by code.

    No cell is a formula to a spreadsheet: a name that looks like one has `'` before it.
    """
    rows, dimensions = list(rows), list(group_by)
    if "project" in dimensions and "team" not in dimensions:
        dimensions.insert(0, "team")
    written = io.StringIO()
    writer = csv.writer(written)
    columns = ["cost_usd" if name == "cost" else name for name in _AMOUNTS]
    writer.writerow([*dimensions, *columns, "refusals"])
    for row in rows:
        names = [_harmless(getattr(row, name) or "") for name in dimensions]
        writer.writerow([*names, *_amounts(row), json.dumps(row.refusals, sort_keys=True)])
    return written.getvalue()


def _empty(dimensions: Iterable[Dimension], names: Iterable[str]) -> UsageRow:
    named: dict[str, Any] = dict(zip(dimensions, names, strict=True))
    return UsageRow(**named)


def _name(row: DailyUsage, dimension: Dimension) -> str:
    name: str = getattr(row, "alias" if dimension == "model" else dimension)
    return name


def _add(row: UsageRow, more: DailyUsage | UsageRow) -> None:
    row.requests += more.requests
    row.input_tokens += more.input_tokens
    row.output_tokens += more.output_tokens
    row.cached_input_tokens += more.cached_input_tokens
    row.cost += more.cost
    row.errors += more.errors
    for code, count in more.refusals.items():
        row.refusals[code] = row.refusals.get(code, 0) + count


def _order(row: UsageRow) -> tuple[str, int, tuple[str, ...]]:
    names = (row.team, row.project, row.key, row.model)
    return row.day or "", -row.cost, tuple(name or "" for name in names)


def _amounts(row: UsageRow) -> Iterator[int | str]:
    for name in _AMOUNTS:
        yield nano_to_usd(row.cost) if name == "cost" else getattr(row, name)


def _harmless(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULA) else cell
