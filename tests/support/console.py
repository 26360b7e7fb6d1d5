"""The console on a policy tree of a test's own, in this process, with everything real but Envoy."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from prometheus_client import CollectorRegistry

from console import options
from console.app import create_app
from console.build import build
from console.services import Services
from tollhouse import keys
from tollhouse.serving.policy import PolicyMetrics

TOKENS: dict[str, str] = {
    name: keys.with_checksum(f"test{name.replace('-', ''):0<28}", keys.MANAGEMENT_PREFIX)
    for name in ("admin", "platform", "lead", "viewer", "webviewer", "auditor")
}
"""Id to token; `lead` leads web, `webviewer` sees web only."""

_ROLES = {
    "admin": "role: admin",
    "platform": "role: platform",
    "lead": "role: team-lead, teams: [web]",
    "viewer": "role: viewer",
    "webviewer": "role: viewer, teams: [web]",
    "auditor": "role: auditor",
}

MANAGEMENT = "tokens:\n" + "".join(
    f"  - {{id: {name}, sha256: {keys.sha256_hex(token)}, {_ROLES[name]}}}\n"
    for name, token in TOKENS.items()
)
"""A management.yaml with a token of each role."""


def services(policies: Path, state: Path, redis_url: str, *more: str) -> Services:
    """As `python -m console` would build them. Close its readings."""
    chosen = options.parse(
        [
            *("--policies", str(policies), "--state-dir", str(state), "--listen", "unix:/none"),
            *("--redis-url", redis_url, *more),
        ]
    )
    return build(chosen, PolicyMetrics(CollectorRegistry()))


class Api:
    """The management API as a client of some role sees it, Envoy's headers added."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def __call__(
        self, method: str, path: str, role: str | None = "admin", **options: Any
    ) -> httpx.Response:
        """`path` begins after /manage; `role` is a name of TOKENS, None sends no token."""
        headers = {"x-request-id": "r-1", "x-tollhouse-client-address": "192.0.2.7"}
        if role is not None:
            headers["authorization"] = f"Bearer {TOKENS[role]}"
        headers |= options.pop("headers", {})
        return await self._client.request(method, f"/manage{path}", headers=headers, **options)


@contextlib.asynccontextmanager
async def api(built: Services) -> AsyncIterator[Api]:
    """A client of these services, which are closed at the end."""
    transport = httpx.ASGITransport(create_app(built), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://console") as client:
        try:
            yield Api(client)
        finally:
            await built.readings.close()


@contextlib.contextmanager
def serving(built: Services) -> Iterator[str]:
    """These services on a port of loopback, from a thread of their own; the address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        config = uvicorn.Config(create_app(built), log_config=None, access_log=False)
        server = uvicorn.Server(config)

        async def run() -> None:
            await server.serve([listening])
            await built.readings.close()

        thread = threading.Thread(target=asyncio.run, args=(run(),))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
