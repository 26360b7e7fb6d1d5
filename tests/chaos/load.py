"""A steady crowd of clients of every kind, each call with a name of its own as its user agent."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.support.gateway import test_key

CALL_DEADLINE_SECONDS = 30.0
_CHAT = "/v1/chat/completions"
_MESSAGES = [{"role": "user", "content": "Say hello"}]


@dataclass
class Told:
    """What the clients saw: how often, and the longest that one of them took, in seconds."""

    codes: Counter[str] = field(default_factory=Counter)
    slowest: dict[str, float] = field(default_factory=dict)


@dataclass
class Load:
    """`clients` callers that call one after another until `stop` is set."""

    endpoint: str
    keys: tuple[str, ...]
    models: tuple[str, ...]
    clients: int
    pause_seconds: float
    chance: random.Random
    told: Told = field(default_factory=Told)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    async def run(self) -> None:
        """Until `stop`, and until every call has ended."""
        limits = httpx.Limits(max_connections=self.clients, max_keepalive_connections=0)
        async with httpx.AsyncClient(
            base_url=self.endpoint,
            timeout=CALL_DEADLINE_SECONDS,
            trust_env=False,
            limits=limits,
        ) as http:
            await asyncio.gather(*(self._client(http) for _ in range(self.clients)))

    async def _client(self, http: httpx.AsyncClient) -> None:
        while not self.stop.is_set():
            key, model = self.chance.choice(self.keys), self.chance.choice(self.models)
            headers = {
                "authorization": f"Bearer {test_key(key)}",
                "user-agent": f"{key}/{model}/{next(self._numbers)}",
            }
            call = self.chance.choices(
                (self._whole, self._stream, self._leaver, self._failing), (4, 3, 2, 1)
            )[0]
            started = time.monotonic()
            code = await _outcome(call, http, model, headers)
            self.told.codes[code] += 1
            took = time.monotonic() - started
            self.told.slowest[code] = max(self.told.slowest.get(code, 0), took)
            await asyncio.sleep(self.chance.uniform(0, 2 * self.pause_seconds))

    async def _whole(self, http: httpx.AsyncClient, model: str, headers: dict[str, str]) -> str:
        delay = self.chance.choice((0, 0, 50))
        headers = {**headers, "x-simulate": f"delay_ms={delay}"}
        answer = await http.post(_CHAT, json=_body(model), headers=headers)
        return _code(answer)

    async def _stream(self, http: httpx.AsyncClient, model: str, headers: dict[str, str]) -> str:
        fault = self.chance.choice(("", "", ",no_usage", ",abort_after=4", ",split=200"))
        return await self._read(http, model, headers, fault, leave_after=None)

    async def _leaver(self, http: httpx.AsyncClient, model: str, headers: dict[str, str]) -> str:
        return await self._read(http, model, headers, "", leave_after=self.chance.randint(0, 15))

    async def _read(
        self,
        http: httpx.AsyncClient,
        model: str,
        headers: dict[str, str],
        fault: str,
        leave_after: int | None,
    ) -> str:
        headers = {**headers, "x-simulate": f"completion_tokens=20,token_delay_ms=10{fault}"}
        body = _body(model, stream=True)
        async with http.stream("POST", _CHAT, json=body, headers=headers) as answer:
            seen = 0
            async for _ in answer.aiter_raw():
                seen += 1
                if leave_after is not None and seen > leave_after:
                    return "left"
            return _code(answer)

    async def _failing(self, http: httpx.AsyncClient, model: str, headers: dict[str, str]) -> str:
        fault = self.chance.choice(("status=500", "status=429", "html_error=502"))
        headers = {**headers, "x-simulate": fault}
        return _code(await http.post(_CHAT, json=_body(model), headers=headers))


async def _outcome(call: Callable[..., Any], *arguments: Any) -> str:
    try:
        return str(await call(*arguments))
    except httpx.TimeoutException:
        return "hung"
    except httpx.TransportError:
        return "cut off"


def _body(model: str, **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": _MESSAGES, **more}


def _code(answer: httpx.Response) -> str:
    return str(answer.headers.get("x-tollhouse-decision", answer.status_code))
