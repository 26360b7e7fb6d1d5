"""A gRPC service without methods of its own, hosted as both services are."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from tollhouse.rpc.server import Server
from tollhouse.serving.host import serve
from tollhouse.serving.options import Options
from tollhouse.serving.readiness import Readiness


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def options(folder: Path, **changed: Any) -> Options:
    """A unix socket in `folder`, free ports, no TLS; `changed` as `Options` names them."""
    plain = Options(
        policies=folder / "policies",
        listen=f"unix:{folder}/service.sock",
        metrics="127.0.0.1:0",
        ready_file=folder / "ready.json",
        demo_keys=False,
        tls_ca=None,
        tls_cert=None,
        tls_key=None,
        log_level="info",
    )
    return replace(plain, **changed)


@dataclass
class Hosted:
    """A service that is up; `task` ends when it has stopped."""

    options: Options
    readiness: Readiness
    registry: CollectorRegistry
    task: asyncio.Task[None]
    ready: dict[str, Any]


@asynccontextmanager
async def hosted(chosen: Options, readiness: Readiness | None = None) -> AsyncIterator[Hosted]:
    """`serve`, from its ready file on until the block ends."""
    readiness, registry = readiness or Readiness(), CollectorRegistry()
    task = asyncio.create_task(serve(chosen, _nothing, registry, readiness, dict))
    try:
        yield Hosted(chosen, readiness, registry, task, await _ready(chosen, task))
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _ready(chosen: Options, task: asyncio.Task[None]) -> dict[str, Any]:
    assert chosen.ready_file is not None
    async with asyncio.timeout(10):
        while not chosen.ready_file.exists():
            if task.done():
                task.result()
            await asyncio.sleep(0.01)
    ready: dict[str, Any] = json.loads(chosen.ready_file.read_text())
    return ready


def _nothing(server: Server) -> None:
    """Health is what every service has."""
