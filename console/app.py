"""The console as one application: API, its OpenAPI document, and pages."""

from __future__ import annotations

from fastapi import FastAPI, Request, Response
from fastapi.responses import RedirectResponse

from console.api import audit, http, keys, limits, models, policy, teams, tokens, usage
from console.pages import routes as pages
from console.pages.views import links
from console.services import Services

_ABOUT = """Keys, teams, projects and models of the policy, usage, and the audit log.

Every write edits the same YAML files that people review: it is checked as a whole, recorded in the
audit log, and in force at once. Send a management token as `Authorization: Bearer tlm_…`."""


def _to_pages(_: Request) -> Response:
    return RedirectResponse(links.ROOT, 303)


def create_app(services: Services) -> FastAPI:
    """Opens nothing: everything was built by the composition root."""
    app = FastAPI(
        title="Tollhouse management API",
        version="1",
        description=_ABOUT,
        openapi_url="/manage/openapi.json",
        # Their pages load scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.services = services
    http.install(app)
    for part in (limits, keys, teams, models, tokens, usage, policy, audit):
        app.include_router(part.router)
    app.include_router(pages.router(services))
    for path in ("/manage", "/manage/"):
        app.add_route(path, _to_pages, ["GET"], include_in_schema=False)
    return app
