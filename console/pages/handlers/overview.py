"""The first page."""

from __future__ import annotations

import asyncio

from starlette.responses import Response

from console.pages.handlers import reading
from console.pages.views import overview
from console.pages.views.policy import PolicyState, state_of_policy
from console.pages.visit import Visit
from console.problems import ManageError


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
        days=reading.DAYS,
        state=await policy_state(visit),
    )


async def nowhere(visit: Visit) -> Response:
    """Of an address that is none of the console's."""
    raise ManageError("not_found", "There is no such page.")


async def policy_state(visit: Visit) -> PolicyState:
    """Which version is in force, and what is wrong with the files."""
    newest = await visit.in_thread(lambda: next(iter(visit.services.history.kept()), None))
    problems = visit.services.current.problems
    return state_of_policy(visit.snapshot.version, newest, problems, visit.now)


async def _figures(visit: Visit) -> overview.Figures:
    scopes, rows, key_rows = await asyncio.gather(
        visit.services.readings.budgets(visit.snapshot, visit.actor.teams),
        reading.recent(visit, "day", "team", "model"),
        reading.this_month(visit, "key"),
    )
    return overview.figures(visit.snapshot, scopes, rows, key_rows, reading.span(visit))
