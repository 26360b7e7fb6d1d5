"""Putting the simulator's parts together."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.routing import Route

from tollhouse.simulator import control
from tollhouse.simulator.books import Books, Exchanges, Leaks, Recorder
from tollhouse.simulator.front import Front
from tollhouse.simulator.settings import Settings
from tollhouse.simulator.site import Site


def create_app(settings: Settings) -> Starlette:
    """The simulator as an ASGI application, to be served with `ClosableProtocol`."""
    keys = {one.name: tuple(key.encode() for key in one.keys) for one in settings.providers}
    books = Books(Recorder(settings.record), Exchanges(settings.record), Leaks(keys))
    # Of base paths that contain one another the longest is meant.
    providers = sorted(settings.providers, key=lambda one: -len(one.base_path))
    sites = [Site(one, settings.models, books.faults) for one in providers]
    names = [site.name for site in sites]
    front = Route("/{path:path}", endpoint=Front(sites, books))
    return Starlette(routes=[control.routes(books, names), front])
