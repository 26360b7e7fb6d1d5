"""What several pages read of the ledger."""

from __future__ import annotations

from datetime import timedelta

from console.pages.views.sums import Span
from console.pages.visit import Visit
from console.reads.days import today as today_of
from console.reads.usage import Dimension, UsageQuery, UsageRow

DAYS = 30


def span(visit: Visit) -> Span:
    """The days that charts show, up to today."""
    today = today_of(visit.snapshot, visit.now)
    return Span(today - timedelta(days=DAYS - 1), today)


async def recent(
    visit: Visit,
    *group_by: Dimension,
    team: str | None = None,
    project: str | None = None,
    key: str | None = None,
    model: str | None = None,
) -> list[UsageRow]:
    """Usage of the days that charts show, and of all of this month. Raises LedgerUnavailable."""
    shown = span(visit)
    query = UsageQuery(
        # The month may have begun before them.
        min(shown.first, shown.last.replace(day=1)),
        shown.last,
        group_by,
        team=team,
        project=project,
        key=key,
        model=model,
        teams=visit.actor.teams,
    )
    return await visit.services.readings.usage(visit.snapshot, query)


async def this_month(visit: Visit, *group_by: Dimension, team: str | None = None) -> list[UsageRow]:
    """Usage of this month. Raises LedgerUnavailable."""
    today = span(visit).last
    query = UsageQuery(today.replace(day=1), today, group_by, team=team, teams=visit.actor.teams)
    return await visit.services.readings.usage(visit.snapshot, query)
