"""Management tokens."""

from __future__ import annotations

from typing import Any, get_args

from starlette.responses import Response

from console.pages.views import forms, keys, links
from console.pages.visit import Visit, go
from console.problems import ManageError
from console.shapes.reading import read_fields
from console.shapes.tokens import TokenCreate, TokenCreated
from tollhouse.policy.management import Role


async def listed(visit: Visit) -> Response:
    """All of them, and the form for a new one."""
    is_deleted = visit.query("done") == "delete"
    done = "The token is deleted: it opens nothing any more." if is_deleted else None
    return await _page(visit, forms.Filled({"role": ["viewer"], "expires": ["90d"]}), done=done)


async def create(visit: Visit) -> Response:
    """The token, shown once: it is in this answer and nowhere else."""
    try:
        target = f"token:{forms.name(visit.form, 'id')}"
        made = await visit.write("token.create", target, lambda: _create(visit))
    except ManageError as error:
        return await _page(
            visit, forms.Filled(visit.form, forms.for_people(error)), status=error.status
        )
    return visit.page("token_once.html", "Tokens", "The new token", token=made)


async def delete(visit: Visit) -> Response:
    """Ends a token."""
    token_id = visit.path("token")
    etag = visit.posted("etag") or None

    def work() -> Any:
        visit.require("token.write")
        return visit.services.tokens.delete(visit.actor, token_id, etag)

    try:
        await visit.write("token.delete", f"token:{token_id}", work)
    except ManageError as error:
        return await _page(visit, forms.Filled({}, forms.for_people(error)), status=error.status)
    return go(links.with_query(f"{links.ROOT}/tokens", done="delete"))


async def back(visit: Visit) -> Response:
    """To the list, from the address of one of its forms."""
    return go(f"{links.ROOT}/tokens")


def _create(visit: Visit) -> TokenCreated:
    visit.require("token.write")
    asked = read_fields(TokenCreate, forms.token_create(visit.form))
    return visit.services.tokens.create(visit.actor, asked)


async def _page(
    visit: Visit, filled: forms.Filled, *, done: str | None = None, status: int = 200
) -> Response:
    found = await visit.in_thread(visit.services.tokens.list, visit.actor)
    lines = [(token, keys.ends_words(token.expires, visit.now)) for token in found.data]
    return visit.page(
        "tokens.html",
        "Tokens",
        "Management tokens",
        status=status,
        tokens=lines,
        form=filled,
        roles=get_args(Role),
        expires=forms.EXPIRES,
        done=done,
    )
