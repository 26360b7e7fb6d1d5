"""The control API under /_simulator: no key, but only from this machine."""

from __future__ import annotations

import ipaddress
import json

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from tollhouse.simulator import directives
from tollhouse.simulator.books import Books

PATH = "/_simulator"


class _LoopbackOnly:
    """Answers 403 to any other machine: what is recorded includes keys and prompts."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._app if _is_loopback(scope) else Response("loopback only\n", status_code=403)
        await app(scope, receive, send)


def _is_loopback(scope: Scope) -> bool:
    client = scope.get("client")
    return client is not None and ipaddress.ip_address(client[0]).is_loopback


class _Control:
    def __init__(self, books: Books, providers: list[str]) -> None:
        self._books = books
        self._providers = providers

    async def health(self, _request: Request) -> Response:
        return _json({"status": "ok"})

    async def requests(self, request: Request) -> Response:
        if request.method == "DELETE":
            self._books.recorder.clear()
            return Response(status_code=204)
        return _json(self._books.recorder.to_json())

    async def exchanges(self, request: Request) -> Response:
        if request.method == "DELETE":
            self._books.exchanges.clear()
            return Response(status_code=204)
        return _json(self._books.exchanges.to_json())

    async def bill(self, request: Request) -> Response:
        if request.method == "DELETE":
            self._books.bill.clear()
            return Response(status_code=204)
        return _json(self._books.bill.to_json())

    async def leaks(self, request: Request) -> Response:
        if request.method == "DELETE":
            self._books.leaks.clear()
            return Response(status_code=204)
        return _json(self._books.leaks.to_json())

    async def faults(self, request: Request) -> Response:
        if request.method == "DELETE":
            self._books.faults.clear(request.query_params.get("provider"))
            return Response(status_code=204)
        try:
            header, times, provider = _fault(await request.body())
            self._check_provider(provider)
            self._books.faults.set(provider, directives.parse(header), times)
        except ValueError as error:
            return _json({"error": str(error)}, 400)
        return _json({"x-simulate": header, "times": times, "provider": provider})

    def _check_provider(self, name: object) -> None:
        if name is not None and name not in self._providers:
            known = ", ".join(self._providers)
            raise ValueError(f"provider: expected one of {known}, or null for all")


def _fault(body: bytes) -> tuple[str, int | None, str | None]:
    """The header, the number of requests it is for, and the one provider it is for.

    Raises:
        ValueError: not such an object.
    """
    fault = json.loads(body)
    if not isinstance(fault, dict) or not fault.keys() <= {"x-simulate", "times", "provider"}:
        raise ValueError('expected {"x-simulate": "…", "times": …, "provider": name or null}')
    header, times = fault.get("x-simulate"), fault.get("times")
    if not isinstance(header, str):
        raise ValueError("x-simulate: expected a string, as in the header")
    if times is not None and (type(times) is not int or times < 0):
        raise ValueError("times: expected a number of requests, 0 or more, or null for all")
    return header, times, fault.get("provider")


def _json(answer: object, status: int = 200) -> Response:
    # Not JSONResponse: it cannot write the lone surrogates that a model's name may hold.
    return Response(json.dumps(answer), status, media_type="application/json")


def routes(books: Books, providers: list[str]) -> Mount:
    """GET health; GET and DELETE requests, exchanges, bill, leaks; PUT and DELETE faults."""
    control = _Control(books, providers)
    table = [
        Route("/health", control.health),
        Route("/requests", control.requests, methods=["GET", "DELETE"]),
        Route("/exchanges", control.exchanges, methods=["GET", "DELETE"]),
        Route("/bill", control.bill, methods=["GET", "DELETE"]),
        Route("/leaks", control.leaks, methods=["GET", "DELETE"]),
        Route("/faults", control.faults, methods=["PUT", "DELETE"]),
    ]
    return Mount(PATH, app=_LoopbackOnly(Router(table)))
