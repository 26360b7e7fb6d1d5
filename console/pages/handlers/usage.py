"""Usage, summed up as it is asked for."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from typing import Final

from starlette.responses import Response

from console.pages.handlers.reading import span
from console.pages.views import forms, usage
from console.pages.views.known import Known
from console.pages.views.links import with_query
from console.pages.views.sums import Span
from console.pages.visit import Visit
from console.problems import ManageError
from console.reads.usage import DIMENSIONS, Dimension, UsageQuery, UsageRow
from console.shapes.reading import read_fields
from console.shapes.usage import Period

_NAMES: Final = ("team", "project", "key", "model")


async def show(visit: Visit) -> Response:
    """A chart by day, a table by what was asked for, and the way to the CSV."""
    visit.require("usage.read")
    error: ManageError | None = None
    chosen = usage.chosen({name: visit.query(name) for name in ("group_by", "from", "to", *_NAMES)})
    shown = span(visit)
    first, last = shown.first, shown.last
    try:
        first, last = _days(visit, chosen)
        asked = _query(visit, chosen, first, last)
    except ManageError as wrong:
        # What can be shown is shown, beside what is wrong.
        error, (first, last) = wrong, (shown.first, shown.last)
        chosen = usage.chosen(dict.fromkeys(chosen))
        asked = UsageQuery(first, last, ("team",), teams=visit.actor.teams)
    rows = await visit.reading(visit.services.readings.usage(visit.snapshot, asked))
    by_day = await visit.reading(_by_day(visit, asked))
    return visit.page(
        "usage.html",
        "Usage",
        "Usage",
        chosen={**chosen, "from": first.isoformat(), "to": last.isoformat()},
        error=error,
        dimensions=usage.DIMENSION_WORDS,
        table=None if rows is None else usage.table(Known(visit.snapshot), rows, asked.dimensions),
        charts=None if by_day is None else usage.charts(by_day, Span(first, last)),
        teams=[name for name in sorted(visit.snapshot.teams) if visit.actor.sees(name)],
        models=sorted(visit.snapshot.aliases),
        csv=_csv(asked),
        months=usage.months(span(visit).last),
    )


async def _by_day(visit: Visit, asked: UsageQuery) -> list[UsageRow]:
    same = {name: getattr(asked, name) for name in _NAMES}
    query = UsageQuery(asked.first, asked.last, ("day",), teams=asked.teams, **same)
    return await visit.services.readings.usage(visit.snapshot, query)


def _days(visit: Visit, chosen: dict[str, str]) -> tuple[date, date]:
    today = span(visit).last
    last = _day(chosen, "to") or today
    return _day(chosen, "from") or min(today.replace(day=1), last), last


def _day(chosen: dict[str, str], name: str) -> date | None:
    if not chosen[name]:
        return None
    found = usage.day(chosen[name])
    if found is None:
        message = f"'{name}' is not a day: write it as 2026-11-28."
        raise ManageError("invalid_request", message, param=name)
    return found


def _query(visit: Visit, chosen: dict[str, str], first: date, last: date) -> UsageQuery:
    if (last - first) >= timedelta(days=usage.MOST_DAYS):
        message = f"This page shows {usage.MOST_DAYS} days at most; the API gives more."
        raise ManageError("invalid_request", message, param="from")
    if chosen["team"]:
        visit.require("usage.read", chosen["team"])
    names = {name: chosen[name] or None for name in _NAMES}
    # What the API takes, and refuses, as a name.
    read_fields(Period, forms.said(names))
    try:
        return UsageQuery(first, last, (_dimension(chosen),), teams=visit.actor.teams, **names)
    except ValueError as error:
        raise ManageError("invalid_request", f"{error}.", param="from") from None


def _dimension(chosen: dict[str, str]) -> Dimension:
    for name in DIMENSIONS:
        if name == chosen["group_by"]:
            return name
    message = f"Usage is summed up by {', '.join(DIMENSIONS)}, and by nothing else."
    raise ManageError("invalid_request", message, param="group_by")


def _csv(asked: UsageQuery) -> str:
    names: Iterable[tuple[str, str | None]] = ((name, getattr(asked, name)) for name in _NAMES)
    fields = {
        "group_by": asked.group_by[0],
        "from": asked.first.isoformat(),
        "to": asked.last.isoformat(),
        "format": "csv",
        **dict(names),
    }
    return with_query("/manage/usage", **fields)
