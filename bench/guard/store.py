"""What admissions and settlements take at the server: a real redis-server, counted."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from dataclasses import astuple, replace
from pathlib import Path
from unittest.mock import patch

from redis.asyncio import Redis

from bench import store
from bench.guard import ratelimit, recorded
from bench.guard.callgrind import Counted
from bench.guard.comparing import INSTRUCTIONS, Figure
from bench.guard.references import REDIS, REDIS_SCRIPT
from bench.store import Asked
from ratelimit_service import admission
from ratelimit_service.admission import Reservation
from ratelimit_service.ledger.ledger import Ledger
from ratelimit_service.ledger.store import open_redis
from ratelimit_service.ledger.types import Settlement
from ratelimit_service.transport import call_from
from tollhouse.local.embedded_redis import EmbeddedRedis
from tollhouse.policy.source import PolicyDirectory
from tollhouse.policy.watch import PolicyHolder

_TIMES = 20
_PATIENT_SECONDS = 60.0
# Its clock's work, ten times a second, is none of a request's.
_SELDOM = ("--hz", "1", "--dynamic-hz", "no")
_DUMPED_AT = "echoCommand"
_NOTHING, _ADMIT = "nothing", "redis: an admission"
_SETTLE, _TOGETHER = "redis: a settlement", f"redis: a settlement, of {_TIMES} together"


Operation = Callable[[], Awaitable[None]]


class Calls:
    """The service's own calls, on its own ledger."""

    def __init__(self, url: str) -> None:
        now = time.time_ns() // 1000
        self._ledger = Ledger(
            open_redis(url, timeout_seconds=_PATIENT_SECONDS),
            timeout_seconds=_PATIENT_SECONDS,
            clock=lambda: now,  # every admission in one second of the sliding minute
        )
        self._holder = PolicyHolder(PolicyDirectory(recorded.POLICIES))
        self._admission = ratelimit.admission(self._holder, self._ledger)
        self._open: list[str] = []

    async def admit(self) -> None:
        """One call."""
        found = await self._admission.admit(call_from(recorded.rate_limit()))
        assert isinstance(found, Reservation)
        self._open.append(found.id)

    async def settle(self) -> None:
        """The oldest of those that were admitted."""
        await self._ledger.settle_many([self._settlement(self._open.pop(0))])

    async def settle_together(self) -> None:
        """All that were admitted."""
        settlements = [self._settlement(each) for each in self._open]
        self._open.clear()
        await self._ledger.settle_many(settlements)

    async def close(self) -> None:
        """At the end."""
        await self._ledger.close()

    def _settlement(self, reservation_id: str) -> Settlement:
        ended = recorded.access_log().SerializeToString()
        return replace(ratelimit.settlement_of(ended, self._holder), reservation_id=reservation_id)


class Windows:
    """Lets a server dump its counters around operations, and asks it what it did."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self.seen: dict[str, Asked] = {}

    async def count(self, name: str, operation: Operation | None, times: int) -> None:
        """Does the operation so often between two dumps."""
        before = await self._look()
        await self._redis.echo("")
        if operation:
            for _ in range(times):
                await operation()
        await self._redis.echo("")
        self.seen[name] = _between(before, await self._look())

    async def _look(self) -> Asked:
        stats = await self._redis.info("stats")
        return store.parse(await self._redis.info("commandstats"), stats)


def _ids() -> Callable[[], str]:
    """Neighbours, of one moment: a real process's begin a new text of endings here and there, by
    chance, and then commands are more."""
    first = time.time_ns() // 1_000_000 << 80 | 0x7 << 76 | 0b10 << 62
    numbers = itertools.count()
    return lambda: f"{first + next(numbers):032x}"


def _between(before: Asked, after: Asked) -> Asked:
    return Asked(
        *(late - early for late, early in zip(astuple(after), astuple(before), strict=True))
    )


async def _run(url: str) -> dict[str, Asked]:
    redis, calls = Redis.from_url(url, protocol=2, socket_timeout=_PATIENT_SECONDS), Calls(url)
    windows = Windows(redis)

    async def reference() -> None:
        await redis.eval(REDIS_SCRIPT, 1, "reference", "1|20|300|x")

    for operation in (reference, calls.admit, calls.settle):
        await operation()  # connections are made, scripts are known
    await windows.count(_NOTHING, None, 0)
    await windows.count(REDIS, reference, _TIMES)
    await windows.count(_ADMIT, calls.admit, _TIMES)
    await windows.count(_SETTLE, calls.settle, _TIMES)
    for _ in range(_TIMES):
        await calls.admit()
    await windows.count(_TOGETHER, calls.settle_together, 1)
    await calls.close()
    await redis.shutdown(nosave=True)
    await redis.aclose()
    return windows.seen


def figures(folder: Path) -> dict[str, Figure]:
    """By name; `folder` is for the server. Raises CallgrindError."""
    redis = EmbeddedRedis(folder)
    server = Counted([*redis.command(), *_SELDOM], folder, _DUMPED_AT, counting=True)
    try:
        redis.wait_until_ready(_PATIENT_SECONDS)
        with patch.object(admission, "new_reservation_id", _ids()):
            seen = asyncio.run(_run(redis.url))
        server.wait()
    finally:
        server.stop()
    return _figures(seen, server.dumps()[1::2])


def _figures(seen: dict[str, Asked], instructions: list[int]) -> dict[str, Figure]:
    counted = dict(zip(seen, instructions, strict=False))
    reference = counted[REDIS] - counted[_NOTHING]
    found: dict[str, Figure] = {}
    for name in (_ADMIT, _SETTLE, _TOGETHER):
        took, done = counted[name] - counted[_NOTHING], _between(seen[_NOTHING], seen[name])
        moved = done.bytes_in + done.bytes_out
        found[name] = Figure(took / _TIMES, INSTRUCTIONS, took / reference)
        inside = done.commands - done.scripts
        for what, count in (("scripts", done.scripts), ("commands", inside)):
            found[f"{name}, {what}"] = Figure(count / _TIMES, what, count / _TIMES)
        found[f"{name}, bytes"] = Figure(moved / _TIMES, "bytes", moved / _TIMES)
    return found
