"""What all endpoints share: exact JSON in and out, and what a refusal looks like."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from typing import Any, get_args

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from console.acting import Acting, acting
from console.problems import CODES, ManageError
from console.shapes.base import Shape, Written
from console.shapes.reading import MOST_BYTES, parsed, refuse

log = logging.getLogger("tollhouse.console")

HEADERS = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
_ALWAYS = (
    *("invalid_request", "invalid_token", "token_expired", "proxy_key_not_accepted"),
    *("role_not_allowed", "internal_error"),
)
WRITES = (
    *("cross_site_request", "already_exists", "edited_meanwhile", "policy_read_only"),
    *("policy_invalid", "layout_not_editable", "etag_mismatch", "request_too_large"),
    *("exceeds_level", "policy_refused", "audit_unavailable", "not_found"),
)
"""What a write can be refused with."""

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class ErrorDetail(BaseModel):
    """Why a request was refused, and what to do."""

    message: str
    type: str
    param: str | None
    code: str
    details: dict[str, Any] = Field(default={})


class ErrorBody(BaseModel):
    """Every refusal."""

    error: ErrorDetail


def refusals(*codes: str) -> dict[int | str, dict[str, Any]]:
    """For OpenAPI: the answers of these codes, and those that any request can get."""
    statuses: dict[int, set[str]] = {}
    for code in (*_ALWAYS, *codes):
        statuses.setdefault(CODES[code].status, set()).add(code)
    return {
        status: {"model": ErrorBody, "description": ", ".join(sorted(named))}
        for status, named in sorted(statuses.items())
    }


class _ExactRequest(Request):
    """Whose JSON keeps every digit: amounts of money never pass through a float."""

    async def body(self) -> bytes:
        """Read no further than a request may be large, whoever sends it."""
        if not hasattr(self, "_body"):
            read = bytearray()
            async for chunk in self.stream():
                read += chunk
                if len(read) > MOST_BYTES:
                    break
            self._body = bytes(read)
        return self._body

    async def json(self) -> Any:
        return parsed(await self.body())


class ExactRoute(APIRoute):
    """Reads JSON exactly; everything else as FastAPI does."""

    def get_route_handler(self) -> Handler:
        """As FastAPI's, given such a request."""
        handle = super().get_route_handler()

        async def exact(request: Request) -> Response:
            try:
                # Before the body is read: a stranger's is not.
                request.state.acting = await acting(request.app.state.services, request)
                return await handle(_ExactRequest(request.scope, request.receive))
            except (ManageError, RequestValidationError, HTTPException):
                raise
            except Exception as error:
                # Starlette would answer it, too, and then close a connection that others use.
                return await _unexpected(request, error)

        return exact


def answer(shape: BaseModel, status: int = 200, **headers: str) -> Response:
    """A shape as JSON; of what is written somewhere, with its ETag."""
    tags = {"etag": f'"{shape.etag}"'} if isinstance(shape, Written) else {}
    return Response(
        shape.model_dump_json(by_alias=True),
        status,
        media_type="application/json",
        headers={**HEADERS, **tags, **headers},
    )


def refused(error: ManageError) -> Response:
    """A refusal as an answer."""
    headers = {**HEADERS}
    if error.status == 401:
        headers["www-authenticate"] = 'Bearer realm="tollhouse"'
    if error.status == 503:
        headers["retry-after"] = "1"
    return JSONResponse(error.body(), error.status, headers)


def install(app: FastAPI) -> None:
    """Whatever is raised becomes a refusal of ours."""
    app.add_exception_handler(ManageError, _manage_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _unexpected)


async def _manage_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ManageError)  # noqa: S101 - registered for it
    asker: Acting | None = getattr(request.state, "acting", None)
    if asker is not None and error.code == "role_not_allowed" and not asker.is_recorded:
        try:
            await asker.record_refusal("read", f"path:{_pattern(request)}", error)
        except ManageError as unrecorded:
            return refused(unrecorded)
    return refused(error)


async def _validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for it
    found = [{**each, "loc": each["loc"][1:]} for each in error.errors()]
    # A misspelt field is missing under its right name, too: that it is unknown says more.
    found.sort(key=lambda each: each["type"] != "extra_forbidden")
    is_body = error.errors()[0]["loc"][:1] == ("body",)
    if is_body and "json" not in request.headers.get("content-type", ""):
        message = "Send the body as JSON, with Content-Type: application/json."
        return refused(ManageError("invalid_request", message))
    try:
        refuse(_shape(request) if is_body else None, found)
    except ManageError as refusal:
        return refused(refusal)


def _shape(request: Request) -> type[BaseModel] | None:
    """Of the endpoint's body."""
    field = getattr(request.scope.get("route"), "body_field", None)
    asked = field.field_info.annotation if field else None
    shapes = [asked, *get_args(asked)]
    return next(
        (each for each in shapes if isinstance(each, type) and issubclass(each, Shape)), None
    )


async def _http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for it
    if isinstance(error.__cause__, ManageError):  # raised while the body was read
        return refused(error.__cause__)
    if error.status_code == 405:
        known = (error.headers or {}).get("Allow", "others")
        message = f"This method is not for this path: it takes {known}."
        return refused(ManageError("method_not_allowed", message))
    if error.status_code == 404:
        return refused(
            ManageError("not_found", "There is no such path: GET /manage/openapi.json lists them.")
        )
    return refused(ManageError("invalid_request", str(error.detail)))


async def _unexpected(request: Request, error: Exception) -> Response:
    log.error("unexpected error", extra={"fields": {"route": _pattern(request)}}, exc_info=error)
    message = "The console failed at this request. Tell whoever runs the gateway the request id."
    return refused(ManageError("internal_error", message))


def _pattern(request: Request) -> str:
    """The route's and not the path, in which a key may stand."""
    return str(getattr(request.scope.get("route"), "path", "?"))
