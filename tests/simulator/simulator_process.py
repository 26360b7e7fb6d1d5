"""A simulator as a process of its own, and the means to look at the bytes it sends."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

KEY = "sk-simulated-provider-key-0001"
HELLO = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}
HELLO_TOKENS = 3 + 4 + 2
VERSION = "2023-06-01"  # of Anthropic's API
DEADLINE_SECONDS = 15


def eventually(condition: Callable[[], Any]) -> Any:
    """The first true value of `condition`, for what another process does in its own time."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not (value := condition()):
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.01)
    return value


@dataclass
class RawAnswer:
    """An HTTP/1.1 answer as it came, up to the close of the connection."""

    head: str
    body: bytes

    @property
    def chunks(self) -> list[bytes]:
        """The complete chunks, the terminating empty one included when it came."""
        rest, found = self.body, []
        while b"\r\n" in rest:
            size, _, rest = rest.partition(b"\r\n")
            length = int(size, 16)
            if len(rest) < length + 2:
                break
            found.append(rest[:length])
            rest = rest[length + 2 :]
        return found


@dataclass
class Simulator:
    """A running simulator and a client of it."""

    url: str
    process: subprocess.Popen[str]
    http: httpx.Client = field(repr=False)

    def chat(
        self, simulate: str | None = None, key: str | None = KEY, **fields: Any
    ) -> httpx.Response:
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        if simulate is not None:
            headers["x-simulate"] = simulate
        # Not json=, which cannot send the lone surrogates that JSON can spell.
        content = json.dumps(HELLO | fields)
        return self.http.post("/v1/chat/completions", content=content, headers=headers)

    def post(self, path: str, simulate: str = "", **request: Any) -> httpx.Response:
        """A request with the key, where OpenAI's and where Anthropic's SDK puts it."""
        headers = {"authorization": f"Bearer {KEY}", "x-simulate": simulate}
        if path.startswith("/v1/messages"):
            headers = {"x-api-key": KEY, "anthropic-version": VERSION, "x-simulate": simulate}
        return self.http.post(path, headers=headers, **request)

    def raw_chat(self, simulate: str = "", **fields: Any) -> RawAnswer:
        body = json.dumps(HELLO | fields).encode()
        head = (
            "POST /v1/chat/completions HTTP/1.1\r\nhost: simulator\r\nconnection: close\r\n"
            f"authorization: Bearer {KEY}\r\nx-simulate: {simulate}\r\n"
            f"content-length: {len(body)}\r\n\r\n"
        )
        return RawAnswer(*self._exchange(head.encode() + body))

    def _exchange(self, request: bytes) -> tuple[str, bytes]:
        address = httpx.URL(self.url)
        with socket.create_connection((address.host, address.port), DEADLINE_SECONDS) as link:
            link.sendall(request)
            answer = b"".join(iter(lambda: link.recv(65536), b""))
        head, _, body = answer.partition(b"\r\n\r\n")
        return head.decode(), body

    def control(self, path: str) -> Any:
        return self.http.get(f"/_simulator/{path}").json()

    def last_record(self) -> dict[str, Any]:
        record: dict[str, Any] = self.control("requests")[-1]
        return record

    def billed(self) -> dict[str, int]:
        """What the last request was billed: the counts that are not zero."""
        usage = self.finished_record()["usage"]
        doubled = ("prompt_tokens", "cached_tokens", "completion_tokens")
        return {name: n for name, n in usage.items() if n and name not in doubled}

    def finished_record(self) -> dict[str, Any]:
        """The last request, once it has been billed."""
        eventually(lambda: self.last_record()["usage"])
        return self.last_record()


def events_of(text: str) -> list[tuple[str, Any]]:
    """The name ("" without one) and data of each event; data that is no JSON as it is."""
    found = []
    for block in text.strip().split("\n\n"):
        lines = dict(line.partition(": ")[::2] for line in block.split("\n"))
        data = lines["data"]
        found.append((lines.get("event", ""), json.loads(data) if data[0] == "{" else data))
    return found


@contextmanager
def running(
    directory: Path, *options: str, default: bool = True, verify: ssl.SSLContext | bool = True
) -> Iterator[Simulator]:
    """A process in that directory; `default`: with the provider whose key is KEY."""
    ready = directory / "ready.json"
    keys = directory / "keys"
    keys.write_text(f"\n{KEY}\nsk-another-provider-key-0002\n")
    command = [sys.executable, "-m", "tollhouse.simulator"]
    if default:
        command += ["--key-file", str(keys)]
    log = directory / "stderr"
    with log.open("w") as stderr:
        process = subprocess.Popen(
            [*command, "--ready-file", str(ready), *options],
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
    try:
        eventually(lambda: ready.exists() or process.poll() is not None)
        url = json.loads(ready.read_text())["url"]
        with httpx.Client(base_url=url, timeout=DEADLINE_SECONDS, verify=verify) as http:
            yield Simulator(url, process, http)
    finally:
        process.terminate()
        process.wait(DEADLINE_SECONDS)
        assert process.stdout is not None
        process.stdout.close()
    # Whatever a test did to it, nothing went wrong inside, and no exchange had to be killed.
    assert log.read_text() == ""
