"""The list of keys, and the page of one."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.responses import Response

from console.edits.bounds import above_key
from console.edits.finding import find_key
from console.pages.handlers import reading
from console.pages.handlers.records import calls_of_key, records_of
from console.pages.views import forms, keys, links, sums, teams
from console.pages.views.gauges import scope_rows
from console.pages.views.known import Known
from console.pages.visit import Visit, go
from console.shapes.keys import KeyQuery, KeyView
from console.shapes.reading import read_fields
from tollhouse.policy.lifetimes import STATES

_FILTERS = ("team", "project", "env", "state", "model", "q")
_A_PAGE = 25


async def listed(visit: Visit) -> Response:
    """One page of the keys that the actor sees."""
    chosen = {name: visit.query(name) or "" for name in (*_FILTERS, "after")}
    asked = forms.said({name: value or None for name, value in chosen.items()})
    query = read_fields(KeyQuery, {**asked, "limit": _A_PAGE})
    found = await visit.in_thread(visit.services.keys.list, visit.actor, query)
    month = await visit.reading(reading.this_month(visit, "key"))
    spent = None if month is None else dict(sums.by(month, "key", sums.cost))
    address = f"{links.ROOT}/keys"
    same = {name: chosen[name] for name in _FILTERS}
    return visit.page(
        "keys.html",
        "Keys",
        "Keys",
        keys=keys.places(found.data, visit.now, spent),
        chosen=chosen,
        is_filtered=any(same.values()),
        choices=_choices(visit),
        next=links.with_query(address, **same, after=found.next) if found.next else None,
        first=links.with_query(address, **same) if chosen["after"] else None,
        done=_SAID.get(visit.query("done") or ""),
    )


def _choices(visit: Visit) -> dict[str, list[str]]:
    snapshot = visit.snapshot
    seen = [team for name, team in sorted(snapshot.teams.items()) if visit.actor.sees(name)]
    return {
        "team": [team.name for team in seen],
        "project": sorted({name for team in seen for name in team.projects}),
        "env": list(snapshot.org.environments),
        "state": list(STATES),
        "model": sorted(snapshot.aliases),
    }


async def show(visit: Visit) -> Response:
    """One key."""
    return await page(visit, visit.path("key"), done=_SAID.get(visit.query("done") or ""))


async def back(visit: Visit) -> Response:
    """To the key, from the address of one of its forms."""
    return go(links.key(visit.path("key")))


_SAID = {
    "block": "The key is blocked: every call is refused from now on.",
    "unblock": "The key may be used again.",
    "delete": "The key is deleted. Its usage stays on record.",
    "change": "The key is changed, and calls go by it already.",
}


async def page(
    visit: Visit,
    key_id: str,
    *,
    refused: forms.Refused | None = None,
    done: str | None = None,
) -> Response:
    """A key's page; `refused` is what one of its forms asked for."""
    find_key(visit.policy, visit.actor, "key.read", key_id)
    view = await visit.in_thread(visit.services.keys.get, visit.actor, key_id)
    scopes, rows, records, calls = await asyncio.gather(
        visit.reading(visit.services.readings.key_scopes(visit.snapshot, view.id)),
        visit.reading(reading.recent(visit, "day", "key", "model", team=view.team, key=view.id)),
        records_of(visit, f"key:{view.id}"),
        calls_of_key(visit, view.id),
    )
    known, span = Known(visit.snapshot), reading.span(visit)
    spending = None if rows is None else teams.spending(known, rows, [], span)
    return visit.page(
        "key.html",
        "Keys",
        view.id,
        status=refused.error.status if refused else 200,
        key=view,
        ends=keys.ends_words(view.expires, visit.now),
        groups=scope_rows(scopes or (), keys.scope_link(view)),
        spending=spending,
        days=reading.DAYS,
        records=records,
        calls=calls,
        form=_form(visit, view, refused),
        done=done,
    )


def _form(visit: Visit, view: KeyView, refused: forms.Refused | None) -> dict[str, Any]:
    bounds = above_key(visit.policy, view.team, view.project, view.env)
    offered = keys.choices(visit.snapshot, bounds)
    names = {choice.alias for choice in offered}
    # Tags, groups and patterns are kept as they are: there is no box for them.
    written = [each for each in view.allowed_models or () if each not in names]
    action = refused.action if refused else None
    as_typed = refused.filled if refused and action == "change" else None
    return {
        "change": as_typed or forms.Filled(forms.key_values(view)),
        "refused": refused.error if refused else None,
        "action": action,
        "models": offered,
        "selectors": written,
        "envs": list(visit.snapshot.org.environments),
        "limits": forms.LIMITS,
        "overlaps": forms.OVERLAPS,
        "expires": forms.EXPIRES,
        "is_blocked_here": view.blocked_at == "key",
    }
