"""Serves the console's HTTP from start to stop, on a socket of our own making."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import ssl
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import uvicorn
from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp

from tollhouse.serving.errors import ServiceError
from tollhouse.serving.host import open_side_door, say_ready, stop_on_signal
from tollhouse.serving.options import Options
from tollhouse.serving.readiness import Readiness

log = logging.getLogger("tollhouse.console")

_BACKLOG = 2048
_GRACE_SECONDS = 5


async def serve(
    options: Options,
    app: ASGIApp,
    registry: CollectorRegistry,
    readiness: Readiness,
    policy: Callable[[], object],
) -> None:
    """Serves until SIGTERM or SIGINT. Raises ServiceError when an address cannot be used."""
    listening = _listen(options)
    server = _Server(_config(options, app))
    side_door = open_side_door(options, registry, readiness, policy)
    side_door.start()
    stop = stop_on_signal()
    serving = asyncio.create_task(server.serve([listening]))
    try:
        say_ready(options, side_door)
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait([stopped, serving], return_when=asyncio.FIRST_COMPLETED)
    finally:
        server.should_exit = True
        await serving
        side_door.stop()


class _Server(uvicorn.Server):
    """Whose signals are handled by whoever serves."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _config(options: Options, app: ASGIApp) -> uvicorn.Config:
    tls = (options.tls_ca, options.tls_cert, options.tls_key)
    if any(tls) and not all(tls):
        raise ServiceError("--tls-ca, --tls-cert and --tls-key go together: give all three")
    made = uvicorn.Config(
        app,
        access_log=False,  # Envoy writes one, without keys that stand in a path
        log_config=None,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    if options.tls_ca and options.tls_cert and options.tls_key:
        made.ssl_ca_certs = str(options.tls_ca)
        made.ssl_certfile, made.ssl_keyfile = str(options.tls_cert), str(options.tls_key)
        made.ssl_cert_reqs = ssl.CERT_REQUIRED
    return made


def _listen(options: Options) -> socket.socket:
    try:
        if options.listen.startswith("unix:"):
            return _unix(Path(options.listen.removeprefix("unix:")))
        if options.tls_cert is None:
            raise ServiceError(
                f"{options.listen} is a network address: give --tls-ca, --tls-cert and --tls-key "
                "(Envoy and the console then check each other), or listen on unix:/path."
            )
        return _tcp(options.listen)
    except (OSError, ValueError) as error:
        raise ServiceError(f"cannot listen on {options.listen}: {error}") from None


def _unix(path: Path) -> socket.socket:
    """With the mode that the umask says: who can connect can say who they are."""
    if path.exists() and stat.S_ISSOCK(path.stat().st_mode):
        path.unlink()  # left behind by a console that was killed
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    made.bind(str(path))
    made.listen(_BACKLOG)
    os.set_inheritable(made.fileno(), False)
    return made


def _tcp(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    if not host:
        raise ValueError("write host:port, with 0.0.0.0 for every interface")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind((host.strip("[]"), int(port)))
    made.listen(_BACKLOG)
    return made
