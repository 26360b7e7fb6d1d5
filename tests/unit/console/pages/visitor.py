"""A person at the console, as far as one can be without a browser."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping

import httpx

from console.app import create_app
from console.services import Services
from tests.support.console import TOKENS
from tests.support.html import Element, parsed

ROOT = "/manage/ui"
PAGES = {
    "": "usage.read",
    "/teams": "team.read",
    "/teams/web": "team.read",
    "/teams/web/projects/site": "project.read",
    "/keys": "key.read",
    "/keys?q=web&state=active": "key.read",
    "/keys?q=nobody": "key.read",
    "/keys/web-1": "key.read",
    "/new-key": "key.write",
    "/new-key?team=web&project=site": "key.write",
    "/models": "model.read",
    "/models?tag=cheap": "model.read",
    "/models/small": "model.read",
    "/models/team/spare": "model.read",
    "/new-model": "model.write",
    "/usage": "usage.read",
    "/usage?group_by=day&team=web": "usage.read",
    "/usage?from=2020-01-01&to=2026-01-01": "usage.read",
    "/policy": "policy.read",
    "/policy/diff?from={version}&to={version}": "policy.read",
    "/audit": "audit.read",
    "/audit?actor=nobody": "audit.read",
    "/audit/1": "audit.read",
    "/tokens": "token.read",
}
"""Every page, after /manage/ui, and what a role has to be allowed to open it."""


class Visitor:
    """Signs in as roles of `TOKENS` and opens pages, each as if it were their own browser."""

    def __init__(self, client: httpx.AsyncClient, version: str) -> None:
        self.client = client
        self._version = version

    async def sign_in(self, role: str, **form: str) -> httpx.Response:
        """The browser is of this role from now on."""
        self.client.cookies.clear()
        return await self.post("/sign-in", {"token": TOKENS[role], **form})

    async def get(self, path: str) -> httpx.Response:
        return await self.client.get(ROOT + path.replace("{version}", self._version))

    async def post(
        self, path: str, form: Mapping[str, str | list[str]], **headers: str
    ) -> httpx.Response:
        return await self.client.post(ROOT + path, data=dict(form), headers=headers)

    async def page(self, path: str) -> Element:
        """A page that must be there."""
        answer = await self.get(path)
        assert answer.status_code == 200, answer.text
        return parsed(answer.text)


@contextlib.asynccontextmanager
async def visiting(services: Services) -> AsyncIterator[Visitor]:
    """Close the services afterwards."""
    transport = httpx.ASGITransport(create_app(services), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://console") as client:
        yield Visitor(client, services.current.policy.snapshot.version)
