"""A webhook on a port of this machine that answers as a test tells it."""

from __future__ import annotations

import json
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from trustme import LeafCert

Answer = int | str | tuple[int, dict[str, str]]
"""A status, with headers or without, or "hang" (until the end of the test) or "close"."""


class Receiver:
    """What came, in order; `answers` are used up one by one, then it is 200."""

    def __init__(self, url: str, released: threading.Event) -> None:
        self.url = url
        self.answers: list[Answer] = []
        self.always: Answer | Callable[[dict[str, Any]], Answer] = 200
        self.came: list[dict[str, Any]] = []
        self.taken: list[dict[str, Any]] = []  # of those, what was answered 200
        self.released = released
        self._lock = threading.Lock()

    def answer(self, body: dict[str, Any]) -> Answer:
        with self._lock:
            self.came.append(body)
            always = self.always(body) if callable(self.always) else self.always
            answer = self.answers.pop(0) if self.answers else always
            if answer == 200:
                self.taken.append(body)
            return answer

    @property
    def titles(self) -> list[str]:
        """The first sentence of each message that was taken, sorted."""
        return sorted(title(body) for body in self.taken)

    @property
    def counts(self) -> Counter[str]:
        """How often each was taken."""
        return Counter(self.titles)


def title(body: dict[str, Any]) -> str:
    text: str = body["blocks"][0]["text"]["text"]
    return text.partition(" ")[2].strip("*")


@contextmanager
def receiver(certificate: LeafCert | None = None) -> Iterator[Receiver]:
    """One that runs until the block ends, over TLS where it has a certificate."""
    server = _Server(("127.0.0.1", 0), _Handler)
    origin = f"http://127.0.0.1:{server.server_port}"
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(context)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        origin = f"https://localhost:{server.server_port}"
    hook = Receiver(f"{origin}/services/T0/B0/hushhush", threading.Event())
    server.hook = hook  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield hook
    finally:
        hook.released.set()
        server.shutdown()
        thread.join()
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: some tests hang up."""


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        hook: Receiver = self.server.hook  # type: ignore[attr-defined]
        assert self.headers["content-type"] == "application/json"
        answer = hook.answer(json.loads(body))
        if answer == "hang":
            hook.released.wait(20)
        if isinstance(answer, str):
            self.close_connection = True
            return
        status, headers = answer if isinstance(answer, tuple) else (answer, {})
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def do_GET(self) -> None:
        self.send_error(405)

    def log_message(self, *arguments: object) -> None:
        """Nothing: tests look at what came."""
