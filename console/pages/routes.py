"""Every page and form of the console, by address."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter

from console.pages import assets
from console.pages.handlers import (
    audit,
    key_writes,
    keys,
    models,
    overview,
    policy,
    signing,
    sso,
    teams,
    tokens,
    usage,
)
from console.pages.rendering import Rendering
from console.pages.views.links import ROOT
from console.pages.visit import Handler, endpoint
from console.services import Services

_PAGES: Final[tuple[tuple[str, str, Handler], ...]] = (
    ("GET", "", overview.show),
    ("GET", "/", overview.show),
    ("POST", "/sign-out", signing.sign_out),
    ("GET", "/teams", teams.listed),
    ("GET", "/teams/{team}", teams.team),
    ("GET", "/teams/{team}/projects/{project}", teams.project),
    ("GET", "/keys", keys.listed),
    ("GET", "/keys/{key}", keys.show),
    ("POST", "/keys/{key}/{action}", key_writes.change),
    ("GET", "/new-key", key_writes.new),
    ("POST", "/new-key", key_writes.create),
    ("GET", "/models", models.listed),
    ("GET", "/models/{alias:path}", models.show),
    ("POST", "/models/{alias:path}", models.change),
    ("GET", "/new-model", models.new),
    ("POST", "/new-model", models.create),
    ("GET", "/usage", usage.show),
    ("GET", "/policy", policy.show),
    ("GET", "/policy/diff", policy.diff),
    ("GET", "/audit", audit.listed),
    ("GET", "/audit/{seq}", audit.record),
    ("GET", "/tokens", tokens.listed),
    ("POST", "/tokens", tokens.create),
    ("POST", "/tokens/{token}/delete", tokens.delete),
    # Where a refused form is shown, somebody may ask for the address again.
    ("GET", "/keys/{key}/{action}", keys.back),
    ("GET", "/tokens/{token}/delete", tokens.back),
    ("GET", "/{rest:path}", overview.nowhere),
)


def router(services: Services) -> APIRouter:
    """The pages over these services; they stand in no OpenAPI document."""
    rendering = Rendering()
    made = APIRouter()
    sign_in = signing.SignIn(services, rendering)
    made.add_route(f"{ROOT}/sign-in", sign_in.show, ["GET"], include_in_schema=False)
    made.add_route(f"{ROOT}/sign-in", sign_in.submit, ["POST"], include_in_schema=False)
    flow = sso.SingleSignOnFlow(services, sign_in)
    made.add_route(f"{ROOT}/sso/sign-in", flow.begin, ["GET"], include_in_schema=False)
    made.add_route(f"{ROOT}/sso/callback", flow.finish, ["GET"], include_in_schema=False)
    made.add_route(f"{ROOT}/static/{{name}}", assets.serve, ["GET"], include_in_schema=False)
    for method, path, handler in _PAGES:
        address = f"{ROOT}{path}"
        made.add_route(
            address, endpoint(services, rendering, handler), [method], include_in_schema=False
        )
    return made
