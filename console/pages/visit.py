"""One request of somebody who is signed in, and what a page needs to answer it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeVar
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from console.acting import Acting, acting
from console.pages import headers
from console.pages.rendering import Rendering
from console.pages.views import links, navigation, numbers
from console.problems import ManageError
from console.services import Services
from ratelimit_service.ledger.errors import LedgerUnavailable

T = TypeVar("T")

log = logging.getLogger("tollhouse.console")

_MOST_FORM_BYTES: Final = 256 << 10
_NOT_SIGNED_IN: Final = ("invalid_token", "token_expired", "proxy_key_not_accepted")

Form = dict[str, list[str]]


@dataclass(slots=True, kw_only=True)
class Visit(Acting):
    """`form` is what was posted. `has_ledger` becomes False when the ledger did not answer, and the
    page then says that numbers are missing."""

    request: Request
    rendering: Rendering
    form: Form = field(default_factory=dict)
    has_ledger: bool = True

    def path(self, name: str) -> str:
        """A part of the path."""
        return str(self.request.path_params[name])

    def query(self, name: str) -> str | None:
        """A field of the query, None where it is missing or empty."""
        return self.request.query_params.get(name) or None

    def posted(self, name: str) -> str:
        """A field of the form, without space around it; "" where it is missing."""
        return self.form.get(name, [""])[0].strip()

    async def reading(self, reading: Awaitable[T]) -> T | None:
        """What the ledger says, None while it is away: the policy is shown all the same."""
        try:
            return await reading
        except LedgerUnavailable:
            self.has_ledger = False
            return None

    async def in_thread(self, function: Callable[..., T], *arguments: Any) -> T:
        """For what reads or writes files."""
        return await asyncio.to_thread(function, *arguments)

    def page(
        self, template: str, section: str, title: str, status: int = 200, **shown: Any
    ) -> Response:
        """A page with the menu around it."""
        return self.rendering.page(template, status, **self._frame(section, title), **shown)

    def problem(self, error: ManageError) -> Response:
        """The page of a refusal."""
        return self.page("problem.html", "", _title(error), error.status, error=error)

    def _frame(self, section: str, title: str) -> dict[str, Any]:
        return {
            "title": title,
            "section": section,
            "org": self.snapshot.org.name,
            "menu": navigation.entries(self.actor, section),
            "actor": self.actor,
            "role": navigation.role_words(self.actor),
            "now": self.now,
            "shown_at": numbers.moment(self.now),
            "has_ledger": self.has_ledger,
            "may": self.may,
        }


class Handler(Protocol):
    """Answers a visit. Raises ManageError."""

    __name__: str

    def __call__(self, visit: Visit) -> Awaitable[Response]: ...


Endpoint = Callable[[Request], Awaitable[Response]]


def go(address: str) -> Response:
    """To another page, with GET."""
    return RedirectResponse(address, 303, headers.PAGE)


def endpoint(services: Services, rendering: Rendering, handler: Handler) -> Endpoint:
    """What a route calls: finds out who asks, and answers refusals with a page."""

    async def answer(request: Request) -> Response:
        try:
            visit = await _visit(services, rendering, request)
        except ManageError as error:
            return _nobody(rendering, services, request, error)
        try:
            visit.form = await read_form(request)
            return await handler(visit)
        except ManageError as error:
            return visit.problem(error)
        except Exception:
            # Not the path, in which a key may stand.
            page = f"{handler.__module__}.{handler.__name__}"
            log.exception("unexpected error", extra={"fields": {"page": page}})
            return visit.problem(_unexpected())

    return answer


async def _visit(services: Services, rendering: Rendering, request: Request) -> Visit:
    found = await acting(services, request)
    return Visit(
        services=found.services,
        actor=found.actor,
        policy=found.policy,
        facts=found.facts,
        now=found.now,
        request=request,
        rendering=rendering,
    )


async def read_form(request: Request) -> Form:
    """The fields of a posted form. Raises ManageError `request_too_large`."""
    if request.method != "POST":
        return {}
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MOST_FORM_BYTES:
            raise ManageError("request_too_large", "This form is too large.")
    text = body.decode("utf-8", "replace")
    try:
        return parse_qs(text, keep_blank_values=True, max_num_fields=10_000)
    except ValueError:
        raise ManageError("request_too_large", "This form has too many fields.") from None


def _nobody(
    rendering: Rendering, services: Services, request: Request, error: ManageError
) -> Response:
    if error.code in _NOT_SIGNED_IN and request.method in ("GET", "HEAD"):
        wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        was_in = error.code == "token_expired"
        return go(
            links.with_query(
                links.SIGN_IN,
                next=None if wanted == links.ROOT else wanted,
                reason="expired" if was_in else None,
            )
        )
    shown = {
        "title": _title(error),
        "error": error,
        "org": services.current.policy.snapshot.org.name,
    }
    return rendering.page("refused.html", error.status, **shown)


def _unexpected() -> ManageError:
    message = "The console failed at this request. Tell whoever runs the gateway when it happened."
    return ManageError("internal_error", message)


def _title(error: ManageError) -> str:
    return {
        403: "Not allowed",
        404: "Not found",
        401: "Not signed in",
        409: "Not done",
        503: "Not available",
        500: "Something went wrong",
    }.get(error.status, "Refused")
