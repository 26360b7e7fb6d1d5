"""A server in a process of its own, as services are: ADDRESS [CA CERT KEY].

Nothing but descriptors wakes its loop: it never looks by itself, so what it would miss stays
unanswered.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import uvloop

from tollhouse.rpc import core

ECHO, LATER, TAKEN = "/test.Echo/Now", "/test.Echo/Later", "/test.Echo/Take"


async def run(address: str, files: list[Path]) -> None:
    import grpc  # noqa: PLC0415 - once its core is set up

    from tollhouse.rpc import server  # noqa: PLC0415

    server._LOOKED_AT_EVERY_SECONDS = 3_600

    async def later(message: bytes) -> bytes:
        await asyncio.sleep(0.001)
        return message

    echo = server.Server()
    echo.unary(ECHO, lambda message: message)
    echo.unary_async(LATER, later)
    echo.client_stream(TAKEN, lambda message: None)
    credentials = None
    if files:
        ca, cert, key = (file.read_bytes() for file in files)
        credentials = grpc.ssl_server_credentials([(key, cert)], ca, True)
    echo.listen(address, credentials)
    echo.start()
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    echo._look_seconds = 0.02
    echo._look()
    await echo.stop(0)


if __name__ == "__main__":
    core.configure()
    uvloop.run(run(sys.argv[1], [Path(file) for file in sys.argv[2:]]))
