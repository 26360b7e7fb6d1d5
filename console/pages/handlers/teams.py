"""Teams and projects."""

from __future__ import annotations

import asyncio

from starlette.responses import Response

from console.edits.finding import find_project, find_team
from console.pages.handlers import reading
from console.pages.views import sums, teams
from console.pages.views.gauges import scope_rows
from console.pages.views.known import Known
from console.pages.views.overview import budget, marks_of
from console.pages.visit import Visit
from console.reads.live import LiveScope


async def listed(visit: Visit) -> Response:
    """All that the actor sees."""
    visit.require("team.read")
    span = reading.span(visit)
    live, rows = await asyncio.gather(
        visit.reading(visit.services.readings.budgets(visit.snapshot, visit.actor.teams)),
        visit.reading(reading.recent(visit, "day", "team")),
    )
    shown = teams.team_rows(visit.actor, visit.snapshot, live, rows, span)
    return visit.page("teams.html", "Teams", "Teams", teams=shown, days=reading.DAYS)


async def team(visit: Visit) -> Response:
    """One team."""
    name = visit.path("team")
    find_team(visit.policy, visit.actor, "team.read", name)
    view = await visit.in_thread(visit.services.teams.get, visit.actor, name)
    span = reading.span(visit)
    scopes, rows = await asyncio.gather(
        visit.reading(visit.services.readings.team_scopes(visit.snapshot, name)),
        visit.reading(reading.recent(visit, "day", "team", "project", "key", "model", team=name)),
    )
    month = span.month(rows or ())
    by_project = None if rows is None else dict(sums.by(month, "project", sums.cost))
    known = Known(visit.snapshot)
    parts = [(each, n, known.project(name, each)) for each, n in (by_project or {}).items()]
    spending = None if rows is None else teams.spending(known, rows, parts, span)
    keys = [key for key in visit.snapshot.keys.values() if key.team == name]
    return visit.page(
        "team.html",
        "Teams",
        name,
        team=view,
        month=budget(scopes[0], span.last, marks_of(visit.snapshot)) if scopes else None,
        limits=scope_rows([s for s in scopes or () if s.level == "team"], _no_link),
        projects=teams.project_lines(visit.snapshot, name, scopes, by_project, span.last),
        keys=teams.key_lines(keys, visit.now, spending.keys if spending else None)[
            : teams.MOST_KEYS
        ],
        key_count=len(keys),
        spending=spending,
        days=reading.DAYS,
    )


async def project(visit: Visit) -> Response:
    """One project of a team."""
    team_name, name = visit.path("team"), visit.path("project")
    find_project(visit.policy, visit.actor, "project.read", team_name, name)
    view = await visit.in_thread(visit.services.projects.get, visit.actor, team_name, name)
    span = reading.span(visit)
    read = visit.services.readings.project_scopes(visit.snapshot, team_name, name)
    use = reading.recent(visit, "day", "key", "model", team=team_name, project=name)
    scopes, rows = await asyncio.gather(visit.reading(read), visit.reading(use))
    month = span.month(rows or ())
    known = Known(visit.snapshot)
    parts = [(each, n, known.key(each)) for each, n in sums.by(month, "key", sums.cost).items()]
    spending = None if rows is None else teams.spending(known, rows, parts, span)
    keys = [
        key for key in visit.snapshot.keys.values() if (key.team, key.project) == (team_name, name)
    ]
    own = [scope for scope in scopes or () if scope.level == "project"]
    return visit.page(
        "project.html",
        "Teams",
        name,
        project=view,
        month=budget(own[0], span.last, marks_of(visit.snapshot)) if own else None,
        limits=scope_rows(own, _no_link),
        keys=teams.key_lines(keys, visit.now, spending.keys if spending else None)[
            : teams.MOST_KEYS
        ],
        key_count=len(keys),
        spending=spending,
        days=reading.DAYS,
    )


def _no_link(_scope: LiveScope) -> str | None:
    return None
