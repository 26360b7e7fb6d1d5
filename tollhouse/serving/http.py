"""The side door of a service: /metrics for Prometheus, /readyz, /livez and /policy for whoever
runs it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

from tollhouse.serving.readiness import Readiness

PATHS = ("/metrics", "/readyz", "/livez", "/policy")

StartResponse = Callable[[str, list[tuple[str, str]]], Any]


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Scrapes are not news."""


class SideDoor:
    """Serves in a thread of its own, so that a busy event loop still answers a probe."""

    def __init__(
        self,
        host: str,
        port: int,
        registry: CollectorRegistry,
        readiness: Readiness,
        policy: Callable[[], object],
    ) -> None:
        self._metrics = make_wsgi_app(registry)
        self._readiness = readiness
        self._policy = policy
        self._server = make_server(host, port, self._answer, _Server, _Quiet)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://{self._server.server_address[0]!s}:{self._server.server_port}"

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/metrics":
            answer: Iterable[bytes] = self._metrics(environ, start_response)
            return answer
        if path == "/policy":
            return _json(start_response, "200 OK", self._policy())
        if path == "/livez":
            return _json(start_response, "200 OK", {"live": True})
        if path == "/readyz":
            problems = self._readiness.problems
            status = "503 Service Unavailable" if problems else "200 OK"
            return _json(start_response, status, {"ready": not problems, "problems": problems})
        return _json(start_response, "404 Not Found", {"paths": PATHS})


def _json(start_response: StartResponse, status: str, body: object) -> list[bytes]:
    start_response(status, [("content-type", "application/json")])
    return [json.dumps(body).encode()]
