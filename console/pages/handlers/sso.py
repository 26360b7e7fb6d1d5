"""Signing in with the company's own sign-on: there, and back."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from console.acting import note_facts
from console.identity import sign_on
from console.identity.code_flow import COOKIE, SECONDS, SignedOn
from console.pages import headers
from console.pages.handlers.signing import SignIn
from console.pages.views import links
from console.pages.visit import go
from console.problems import ManageError
from console.services import Services
from tollhouse.contract import SIGN_ON_COOKIE
from tollhouse.policy.management import SignInPage, SingleSignOn

log = logging.getLogger("tollhouse.console")

_CALLBACK: Final = f"{links.ROOT}/sso/callback"
_PATH: Final = "/manage"


class SingleSignOnFlow:
    """Both routes. A refusal is told on the sign-in page."""

    def __init__(self, services: Services, page: SignIn) -> None:
        self._services = services
        self._page = page

    async def begin(self, request: Request) -> Response:
        """Send the browser to the identity provider."""
        try:
            _, page = self._configured()
        except ManageError as error:
            return self._page.refused(request.query_params.get("next"), error)
        wanted = links.safe_next(request.query_params.get("next"))
        where, cookie = self._services.code_flow.begin(page, _redirect_uri(request), wanted)
        answer = RedirectResponse(where, 303, headers.PAGE)
        answer.set_cookie(
            COOKIE,
            cookie,
            SECONDS,
            path=_CALLBACK,
            secure=_is_https(request),
            httponly=True,
            samesite="lax",  # it comes back from another site
        )
        return answer

    async def finish(self, request: Request) -> Response:
        """Take what the identity provider answered."""
        try:
            done = await self._finished(request)
        except ManageError as error:
            return self._page.refused(None, error)
        answer = go(done.next)
        answer.set_cookie(
            SIGN_ON_COOKIE,
            done.id_token,
            path=_PATH,
            secure=_is_https(request),
            httponly=True,
            samesite="lax",
        )
        answer.delete_cookie(COOKIE, path=_CALLBACK)
        return answer

    async def _finished(self, request: Request) -> SignedOn:
        found, page = self._configured()
        query = request.query_params
        if "error" in query:
            # What it says is anybody's text: the log has it, the page does not.
            log.warning("sign-on refused", extra={"fields": {"error": query["error"][:100]}})
            raise ManageError("invalid_token", "The identity provider refused this sign-in.")
        done = await self._services.code_flow.finish(
            page,
            _redirect_uri(request),
            request.cookies.get(COOKIE, ""),
            state=query.get("state", ""),
            code=query.get("code", ""),
        )
        note_facts(request)
        actor = sign_on.actor_of(done.payload, found)
        await asyncio.to_thread(self._services.recording.signed_in, actor)
        return done

    def _configured(self) -> tuple[SingleSignOn, SignInPage]:
        management = self._services.current.policy.snapshot.management
        found = management.sign_on if management else None
        if found is None or found.sign_in is None:
            raise ManageError("not_found", "This policy has no single sign-on for pages.")
        return found, found.sign_in


def _redirect_uri(request: Request) -> str:
    scheme = "https" if _is_https(request) else "http"
    return f"{scheme}://{request.headers.get('host', '')}{_CALLBACK}"


def _is_https(request: Request) -> bool:
    return request.headers.get("x-forwarded-proto") == "https"
