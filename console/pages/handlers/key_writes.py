"""Keys are made, changed, blocked, rotated and deleted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from starlette.responses import Response

from console.edits.bounds import above_key
from console.edits.finding import find_key
from console.edits.narrowing import Bound
from console.pages.handlers import keys as key_pages
from console.pages.views import forms, keys, links
from console.pages.visit import Visit, go
from console.problems import ManageError
from console.shapes.keys import KeyBlock, KeyCreate, KeyCreated, KeyPatch, KeyRotate
from console.shapes.reading import read_fields

Work = Callable[[], Any]


async def new(visit: Visit) -> Response:
    """The form for a new key: first its project, then all else."""
    visit.require("key.write")
    team, project = visit.query("team"), visit.query("project")
    if (home := visit.query("in")) and "/" in home:
        team, _, project = home.partition("/")
    if not project or not team:
        return _choose(visit, team)
    visit.require("key.write", team)
    values = {"team": [team], "project": [project], "models": ["all"], "expires": ["90d"]}
    return _form(visit, forms.Filled(values))


async def create(visit: Visit) -> Response:
    """The key, shown once: it is in this answer and nowhere else."""
    target = f"project:{forms.name(visit.form, 'team')}/{forms.name(visit.form, 'project')}"
    try:
        made = await visit.write("key.create", target, lambda: _create(visit))
    except ManageError as error:
        return _form(visit, forms.Filled(visit.form, forms.for_people(error)), error.status)
    return _once(visit, made, "Your new key", [])


async def change(visit: Visit) -> Response:
    """What a form on a key's page asks for."""
    key_id, action = visit.path("key"), visit.path("action")
    if action not in _ACTIONS:
        raise ManageError("not_found", "There is no such action.")
    # What is not an id may be a key, which the audit log must not hold.
    target = f"key:{key_id if key_id in visit.policy.keys else '?'}"
    try:
        done = await visit.write(f"key.{action}", target, _work(visit, key_id, action))
    except ManageError as error:
        told = forms.for_people(error)
        refused = forms.Refused(forms.Filled(visit.form, told), told, action)
        return await key_pages.page(visit, key_id, refused=refused)
    if isinstance(done, KeyCreated):
        return _once(visit, done, "The new key", done.previous)
    if action == "delete":
        return go(links.with_query(f"{links.ROOT}/keys", done="delete"))
    return go(links.with_query(links.key(key_id), done=action))


def _work(visit: Visit, key_id: str, action: str) -> Work:
    """Who may not, and what is wrong with the form, is found in it, and recorded as any refusal."""
    known = visit.posted("etag") or None

    def work() -> Any:
        find_key(visit.policy, visit.actor, "key.write", key_id)
        return _ACTIONS[action](visit, key_id, known)

    return work


def _create(visit: Visit) -> KeyCreated:
    visit.require("key.write", visit.posted("team") or None)
    asked = read_fields(KeyCreate, forms.key_create(visit.form))
    return visit.services.keys.create(visit.actor, asked)


def _change(visit: Visit, key_id: str, etag: str | None) -> Any:
    asked = read_fields(KeyPatch, forms.key_patch(visit.form))
    return visit.services.keys.patch(visit.actor, key_id, asked, etag)


def _block(visit: Visit, key_id: str, etag: str | None) -> Any:
    # An emergency does not wait for who edited what meanwhile.
    asked = read_fields(KeyBlock, forms.said({"reason": forms.text(visit.form, "reason")}))
    return visit.services.keys.block(visit.actor, key_id, asked)


def _unblock(visit: Visit, key_id: str, etag: str | None) -> Any:
    return visit.services.keys.unblock(visit.actor, key_id, etag)


def _rotate(visit: Visit, key_id: str, etag: str | None) -> Any:
    asked = read_fields(KeyRotate, {"overlap": visit.posted("overlap")})
    return visit.services.keys.rotate(visit.actor, key_id, asked, etag)


def _delete(visit: Visit, key_id: str, etag: str | None) -> Any:
    if visit.posted("confirm") != key_id:
        message = "Type the key's id to delete it: calls with it fail from then on."
        raise ManageError("invalid_request", message, param="confirm")
    return visit.services.keys.delete(visit.actor, key_id, etag)


_ACTIONS: Final[Mapping[str, Callable[[Visit, str, str | None], Any]]] = {
    "change": _change,
    "block": _block,
    "unblock": _unblock,
    "rotate": _rotate,
    "delete": _delete,
}


def _choose(visit: Visit, team: str | None) -> Response:
    homes = [home for home in keys.homes(visit.actor, visit.snapshot) if team in (None, home.team)]
    return visit.page(
        "key_where.html",
        "Keys",
        "Create a key",
        homes=homes,
        team=team or "",
    )


def _form(visit: Visit, filled: forms.Filled, status: int = 200) -> Response:
    team, project = filled.text("team"), filled.text("project")
    bounds = above_key(visit.policy, team, project, filled.text("env") or None)
    return visit.page(
        "key_new.html",
        "Keys",
        "Create a key",
        status=status,
        form=filled,
        models=keys.choices(visit.snapshot, bounds),
        is_granted=keys.is_granted(bounds),
        is_new=visit.policy.project(team, project) is None,
        above=_limits_above(bounds),
        envs=list(visit.snapshot.org.environments),
        limits=forms.LIMITS,
        expires=forms.EXPIRES,
    )


def _limits_above(bounds: list[Bound]) -> list[tuple[str, str]]:
    """What holds anyway, in words: each level and its limits."""
    return [
        (bound.rule.where.removeprefix("the ").replace("'", ""), words)
        for bound in bounds
        if (words := keys.limit_words(bound.limits))
    ]


def _once(visit: Visit, made: KeyCreated, title: str, previous: list[str]) -> Response:
    scheme = visit.request.headers.get("x-forwarded-proto") or visit.request.url.scheme
    endpoint = f"{scheme}://{visit.request.headers.get('host', 'localhost')}"
    model = next((name for name in made.models if _is_chat(visit, name)), None)
    curl, python = keys.snippets(endpoint, made.api_key, model)
    return visit.page(
        "key_once.html",
        "Keys",
        title,
        key=made,
        endpoint=endpoint,
        curl=curl,
        python=python,
        old_until=previous[-1] if previous else None,
    )


def _is_chat(visit: Visit, alias: str) -> bool:
    found = visit.snapshot.aliases.get(alias)
    return found is not None and "chat/completions" in found.endpoints
