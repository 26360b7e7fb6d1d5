"""The simulator as a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import uvicorn

from tollhouse.simulator.app import create_app
from tollhouse.simulator.connection import ClosableProtocol
from tollhouse.simulator.settings import Settings

# Longer than any client keeps an idle connection: a server that closes first races with the next
# request on it, and the test that loses the race sees a reset nobody asked for.
_KEEP_ALIVE_SECONDS = 3600
_SHUTDOWN_SECONDS = 2


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then return; open streams are cut.

    Once it listens it prints a line for each provider and, if asked to, writes
    `settings.ready_file`: {"url": "http://HOST:PORT", "pid": PID}, https with TLS. Main thread
    only, because of the signals.

    Raises:
        OSError: the address cannot be bound, a TLS file cannot be used, or the ready file cannot
            be written.
    """
    with socket.create_server((settings.host, settings.port)) as listener:
        config = uvicorn.Config(
            create_app(settings),
            ssl_certfile=settings.tls_cert,
            ssl_keyfile=settings.tls_key,
            loop="uvloop",
            http=ClosableProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # else a forwarded-for header could pass for the loopback address
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
        )
        _Server(config, settings).run(sockets=[listener])


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, settings: Settings) -> None:
        super().__init__(config)
        self._settings = settings

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or []:
            _announce(self._settings, listener.getsockname()[1])

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # uvicorn would wait for responses to end, and a stalled one never does.
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """In place of uvicorn's, which raises the signal again afterwards and so never exits 0."""
        loop = asyncio.get_running_loop()
        signals = (signal.SIGTERM, signal.SIGINT)
        for number in signals:
            loop.add_signal_handler(number, self._stop)
        yield
        for number in signals:
            loop.remove_signal_handler(number)

    def _stop(self) -> None:
        self.should_exit = True


def _announce(settings: Settings, port: int) -> None:
    scheme = "http" if settings.tls_cert is None else "https"
    url = f"{scheme}://{settings.host}:{port}"
    if settings.ready_file is not None:
        _write_atomically(settings.ready_file, json.dumps({"url": url, "pid": os.getpid()}))
    for provider in settings.providers:
        print(f"simulated provider: {url}{provider.base_path}", flush=True)


def _write_atomically(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)
