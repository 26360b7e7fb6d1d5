"""The client of the table of endpoints: its calls, how it leaves, and what is known of a call after
its end."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx

from ratelimit_service.ledger.ledger import Ledger
from ratelimit_service.ledger.periods import periods_at
from ratelimit_service.ledger.store import open_redis
from ratelimit_service.ledger.types import Slot
from tests.lua import forms
from tests.support.gateway import Gateway, Received, test_key, wait_for
from tests.support.matrix_calls import Call
from tollhouse.local.embedded_redis import EmbeddedRedis

_NUMBERS = itertools.count(1)


@dataclass(frozen=True)
class Request:
    """One call as it goes over the wire. Its user agent is its own, to find it in the log."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def agent(self) -> str:
        return self.headers["user-agent"]


def request(call: Call, key_name: str, path: str | None = None, **headers: str) -> Request:
    """The call with a key, as the SDKs of its dialect send it."""
    given = test_key(key_name)
    own = (
        {"x-api-key": given, "anthropic-version": "2023-06-01"}
        if call.dialect == "anthropic"
        else {"authorization": f"Bearer {given}"}
    )
    sent = {**own, "user-agent": f"matrix/{next(_NUMBERS)}", **headers}
    if call.body:
        sent["content-type"] = call.content_type
    return Request(call.method, path or f"/v1/{call.endpoint}", sent, call.body)


def send(gateway: Gateway, asked: Request) -> httpx.Response:
    """The whole answer."""
    return gateway.http.request(
        asked.method, asked.path, headers=dict(asked.headers), content=asked.body
    )


def leave_mid_stream(gateway: Gateway, asked: Request) -> None:
    """Hang up after the first event."""
    with gateway.http.stream(
        asked.method, asked.path, headers=dict(asked.headers), content=asked.body
    ) as answer:
        seen = b""
        for piece in answer.iter_raw():
            seen += piece
            if re.search(rb"data:.*\n\r?\n", seen):
                break
        assert answer.status_code == 200, seen


def leave_unanswered(gateway: Gateway, asked: Request) -> None:
    """Hang up once the provider has got the call, before it answers."""
    address = urlsplit(gateway.endpoint)
    head = {"host": address.netloc, "content-length": str(len(asked.body)), **asked.headers}
    lines = [f"{asked.method} {asked.path} HTTP/1.1", *(f"{n}: {v}" for n, v in head.items())]
    with socket.create_connection((address.hostname, address.port)) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + asked.body)
        wait_for(gateway.received, f"{asked.method} {asked.path} at the provider")


def line_of(gateway: Gateway, agent: str) -> dict[str, Any]:
    """The access-log line of a request, once it is settled."""

    def find() -> dict[str, Any] | None:
        return next((one for one in gateway.log_lines() if one.get("user_agent") == agent), None)

    line = wait_for(find, f"the log line of {agent}")
    return gateway.settled(line["request_id"])


def events_of(body: bytes) -> list[dict[str, Any]]:
    """The JSON of a stream's events."""
    lines = body.decode().splitlines()
    return [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: {")]


def received_models(call: Call, got: Received) -> list[str]:
    """The models that a request of the call's endpoint names to its provider."""
    if call.content_type == forms.CONTENT_TYPE:
        read = forms.by_python_multipart(got.body, str(got.header("content-type")))
        assert read
        return [value.decode() for value in read.fields["model"]]
    pairs: list[tuple[str, Any]] = json.loads(got.body, object_pairs_hook=list)
    return [value for name, value in pairs if name == "model"]


def named_models(answer: Any) -> Iterator[str]:
    """Every `model` in an answer, at any depth."""
    if isinstance(answer, dict):
        if isinstance(answer.get("model"), str):
            yield answer["model"]
        for value in answer.values():
            yield from named_models(value)
    elif isinstance(answer, list):
        for value in answer:
            yield from named_models(value)


def spent(gateway: Gateway, key_name: str) -> tuple[int, int]:
    """Nano-dollars of a key that the ledger has settled this month, and holds now."""

    async def ask() -> tuple[int, int]:
        ledger = Ledger(
            open_redis(EmbeddedRedis(gateway.run_dir / "redis").url, timeout_seconds=20),
            timeout_seconds=20,
        )
        try:
            month = periods_at("UTC", int(time.time())).month
            return await ledger.spend(Slot("team", "web"), f"key:{key_name}", month)
        finally:
            await ledger.close()

    return asyncio.run(ask())
