"""The catalogue of models."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from starlette.responses import Response

from console.edits.finding import find_model
from console.pages.handlers import reading
from console.pages.views import forms, links, models, sums, teams
from console.pages.views.gauges import scope_rows
from console.pages.views.known import Known
from console.pages.visit import Visit, go
from console.problems import ManageError
from console.reads.live import LiveScope
from console.shapes.models import ModelCreate, ModelPatch, ModelQuery, ModelView
from console.shapes.reading import read_fields

_MOST = 500


async def listed(visit: Visit) -> Response:
    """All aliases, with prices and what they cost this month."""
    asked = forms.said({name: visit.query(name) for name in ("q", "provider", "tag")})
    query = read_fields(ModelQuery, {**asked, "limit": _MOST})
    found = await visit.in_thread(visit.services.models.list, visit.actor, query)
    month = await visit.reading(reading.this_month(visit, "model"))
    spent = None if month is None else dict(sums.by(month, "model", sums.cost))
    aliases = visit.snapshot.aliases.values()
    return visit.page(
        "models.html",
        "Models",
        "Models",
        models=models.rows(found.data, spent),
        chosen={name: visit.query(name) or "" for name in ("q", "provider", "tag")},
        is_filtered=bool(asked),
        providers=sorted(visit.snapshot.providers),
        tags=sorted({tag for alias in aliases for tag in alias.tags}),
        done=_SAID.get(visit.query("done") or ""),
    )


_SAID = {
    "delete": "The model is deleted.",
    "create": "The model is there. It can be called by keys whose levels allow it.",
    "change": "The model is changed, and calls go by it already.",
}


async def show(visit: Visit) -> Response:
    """One alias."""
    return await _page(visit, visit.path("alias"), done=_SAID.get(visit.query("done") or ""))


async def new(visit: Visit) -> Response:
    """The form for a new one."""
    visit.require("model.write")
    return _form(visit, forms.Filled({"endpoints": ["chat/completions"]}))


async def create(visit: Visit) -> Response:
    """A new alias."""
    try:
        target = f"model:{forms.name(visit.form, 'alias')}"
        made = await visit.write("model.create", target, lambda: _create(visit))
    except ManageError as error:
        return _form(visit, forms.Filled(visit.form, forms.for_people(error)), error.status)
    return go(links.with_query(links.model(made.alias), done="create"))


async def change(visit: Visit) -> Response:
    """Changes an alias, or deletes it."""
    alias = visit.path("alias")
    action = "delete" if visit.posted("action") == "delete" else "change"
    try:
        target = f"model:{alias if alias in visit.snapshot.aliases else '?'}"
        await visit.write(f"model.{action}", target, _work(visit, alias, action))
    except ManageError as error:
        told = forms.for_people(error)
        refused = forms.Refused(forms.Filled(visit.form, told), told, action)
        return await _page(visit, alias, refused=refused)
    if action == "delete":
        return go(links.with_query(f"{links.ROOT}/models", done="delete"))
    return go(links.with_query(links.model(alias), done="change"))


def _create(visit: Visit) -> ModelView:
    visit.require("model.write")
    asked = read_fields(ModelCreate, forms.model_create(visit.form))
    return visit.services.models.create(visit.actor, asked)


def _work(visit: Visit, alias: str, action: str) -> Callable[[], Any]:
    etag = visit.posted("etag") or None

    def work() -> Any:
        find_model(visit.policy, visit.actor, "model.write", alias)
        if action == "delete":
            if visit.posted("confirm") != alias:
                message = "Type the model's name to delete it."
                raise ManageError("invalid_request", message, param="confirm")
            return visit.services.models.delete(visit.actor, alias, etag)
        view = visit.services.models.get(visit.actor, alias)
        asked = read_fields(ModelPatch, forms.model_patch(visit.form, view))
        return visit.services.models.patch(visit.actor, alias, asked, etag)

    return work


async def _page(
    visit: Visit,
    alias: str,
    *,
    refused: forms.Refused | None = None,
    done: str | None = None,
) -> Response:
    find_model(visit.policy, visit.actor, "model.read", alias)
    view = await visit.in_thread(visit.services.models.get, visit.actor, alias)
    span = reading.span(visit)
    scopes, rows = await asyncio.gather(
        visit.reading(visit.services.readings.model_scopes(visit.snapshot, alias)),
        visit.reading(reading.recent(visit, "day", "team", "key", "model", model=alias)),
    )
    month = span.month(rows or ())
    known = Known(visit.snapshot)
    parts = [(each, n, known.team(each)) for each, n in sums.by(month, "team", sums.cost).items()]
    seen = [each for each in scopes or () if each.team is None or visit.actor.sees(each.team)]
    action = refused.action if refused else None
    as_typed = refused.filled if refused and action == "change" else None
    return visit.page(
        "model.html",
        "Models",
        alias,
        status=refused.error.status if refused else 200,
        model=view,
        row=models.row(view, None),
        rates=models.rates(visit.snapshot, alias),
        checked=forms.CHECKED,
        unchecked=forms.UNCHECKED,
        groups=scope_rows(seen, _link),
        spending=None if rows is None else teams.spending(known, rows, parts, span),
        callers=models.callers(visit.actor, visit.snapshot, alias),
        days=reading.DAYS,
        form=as_typed or forms.Filled(forms.model_values(view)),
        refused=refused.error if refused else None,
        action=action,
        providers=sorted(visit.snapshot.providers),
        limits=forms.LIMITS,
        done=done,
    )


def _link(scope: LiveScope) -> str | None:
    if scope.team is None:
        return None
    return links.project(scope.team, scope.project) if scope.project else links.team(scope.team)


def _form(visit: Visit, filled: forms.Filled, status: int = 200) -> Response:
    return visit.page(
        "model_new.html",
        "Models",
        "Add a model",
        status=status,
        form=filled,
        checked=forms.CHECKED,
        unchecked=forms.UNCHECKED,
        providers=sorted(visit.snapshot.providers),
        limits=forms.LIMITS,
    )
