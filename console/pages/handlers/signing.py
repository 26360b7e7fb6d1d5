"""Signing in by token, and out."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from console.acting import asking, note_facts
from console.identity.asking import refuse_cross_site
from console.identity.sessions import COOKIE, SECONDS
from console.pages.rendering import Rendering
from console.pages.views import links
from console.pages.visit import Visit, go, read_form
from console.problems import ManageError
from console.services import Services
from tollhouse import keys
from tollhouse.contract import SIGN_ON_COOKIE

_PATH = "/manage"


class SignIn:
    """The page that everybody may open, and what its form does."""

    def __init__(self, services: Services, rendering: Rendering) -> None:
        self._services = services
        self._rendering = rendering

    async def show(self, request: Request) -> Response:
        """The form."""
        expired = request.query_params.get("reason") == "expired"
        message = "Your token has expired: sign in with another." if expired else None
        return self._page(request.query_params.get("next"), message=message)

    async def submit(self, request: Request) -> Response:
        """A token that is accepted becomes a session."""
        form: dict[str, list[str]] = {}
        try:
            refuse_cross_site(asking(request))
            form = await read_form(request)
            token = form.get("token", [""])[0].strip()
            await self._open(request, token)
        except ManageError as error:
            note_facts(request)
            await asyncio.to_thread(self._services.recording.refused_sign_in, error)
            return self._page(form.get("next", [None])[0], error, status=error.status)
        made = go(links.safe_next(form.get("next", [None])[0]))
        sha256, now = keys.sha256_hex(token), self._services.now()
        sealed = self._services.identity.sessions.seal(sha256, now)
        is_https = request.headers.get("x-forwarded-proto") == "https"
        made.set_cookie(
            COOKIE, sealed, SECONDS, path=_PATH, secure=is_https, httponly=True, samesite="lax"
        )
        return made

    def refused(self, wanted: str | None, error: ManageError) -> Response:
        """The form again, with what went wrong."""
        return self._page(wanted, error, status=error.status)

    async def _open(self, request: Request, token: str) -> None:
        services = self._services
        note_facts(request)
        policy = await asyncio.to_thread(services.reader.now)
        actor = services.identity.of_token(token, policy.snapshot, services.now())
        await asyncio.to_thread(services.recording.signed_in, actor)

    def _page(
        self,
        wanted: str | None,
        error: ManageError | None = None,
        status: int = 200,
        message: str | None = None,
    ) -> Response:
        snapshot = self._services.current.policy.snapshot
        sign_on = snapshot.management.sign_on if snapshot.management else None
        shown: dict[str, Any] = {
            "title": "Sign in",
            "org": snapshot.org.name,
            "next": links.safe_next(wanted),
            "error": _plain(error),
            "message": message,
            "has_sso": bool(sign_on and sign_on.sign_in),
        }
        return self._rendering.page("sign_in.html", status, **shown)


async def sign_out(visit: Visit) -> Response:
    """Ends the session of this browser."""
    made = go(links.SIGN_IN)
    for name in (COOKIE, SIGN_ON_COOKIE):
        made.delete_cookie(name, path=_PATH)
    return made


def _plain(error: ManageError | None) -> str | None:
    # What the API says of a header is no help to who fills in a form.
    if error is None:
        return None
    return error.message.partition(" Send a management token as")[0]
