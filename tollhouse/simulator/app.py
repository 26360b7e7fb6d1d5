"""Putting the simulator's parts together."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.routing import Route

from tollhouse.simulator import control
from tollhouse.simulator.books import Books, Exchanges, Recorder
from tollhouse.simulator.provider import Provider
from tollhouse.simulator.settings import Settings


def create_app(settings: Settings) -> Starlette:
    """The simulator as an ASGI application, to be served with `ClosableProtocol`."""
    books = Books(Recorder(enabled=settings.record), Exchanges(enabled=settings.record))
    provider = Route("/{path:path}", endpoint=Provider(settings, books))
    return Starlette(routes=[control.routes(books), provider])
