"""The first page."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from starlette.responses import Response

from console.pages.views import overview
from console.pages.views.policy import PolicyState, state_of_policy
from console.pages.visit import Visit
from console.reads.days import today as today_of
from console.reads.usage import UsageQuery


async def show(visit: Visit) -> Response:
    """The month, and what wants attention."""
    visit.require("usage.read")
    figures = await visit.reading(_figures(visit))
    soon, ending = overview.expiring(visit.actor, visit.snapshot.keys.values(), visit.now)
    return visit.page(
        "overview.html",
        "Overview",
        "Overview",
        figures=figures,
        expiring=soon,
        ending=ending,
        days=overview.DAYS,
        state=await policy_state(visit),
    )


async def policy_state(visit: Visit) -> PolicyState:
    """Which version is in force, and what is wrong with the files."""
    newest = await visit.in_thread(lambda: next(iter(visit.services.history.kept()), None))
    problems = visit.services.current.problems
    return state_of_policy(visit.snapshot.version, newest, problems, visit.now)


async def _figures(visit: Visit) -> overview.Figures:
    snapshot, readings, teams = visit.snapshot, visit.services.readings, visit.actor.teams
    today = today_of(snapshot, visit.now)
    first = today - timedelta(days=overview.DAYS - 1)
    # The month may have begun before the days that the chart shows.
    from_day = min(first, today.replace(day=1))
    by_day = UsageQuery(from_day, today, ("day", "team", "model"), teams=teams)
    by_key = UsageQuery(today.replace(day=1), today, ("key",), teams=teams)
    scopes, rows, key_rows = await asyncio.gather(
        readings.budgets(snapshot, teams),
        readings.usage(snapshot, by_day),
        readings.usage(snapshot, by_key),
    )
    return overview.figures(snapshot, scopes, rows, key_rows, first, today)
