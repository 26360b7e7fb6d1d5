"""Runs one case, and reads what every process and Redis used for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench import bodies, load, store, streams
from bench.load import Load
from bench.parts import UPSTREAM, Gateway, Pair, Parts
from bench.processes import Used
from bench.targets import PLAIN, Target

LOAD = "load"
_QUIET_SECONDS = 0.2
_QUIET_SHARE = 0.1
_LONGEST_WAIT = 20.0


@dataclass(frozen=True, slots=True)
class Case:
    """What is sent to a target. Without `keys` it is the target's own; with `rate` the loop is
    open; `streams` are so many at once."""

    name: str
    target: Target
    body: bytes
    door: str = PLAIN
    connections: int = 32
    keys: Sequence[str] = ()
    rate: float | None = None
    refused: bool = False
    streams: int = 0


class Meter:
    """Counts what was answered on the way, for the ledger has to settle it."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._sent = 0
        self.answered = 0
        self.settled = 0
        self.memory: list[tuple[float, str, str, int]] = []
        self._begun = time.monotonic()

    async def run(self, case: Case, seconds: float) -> dict[str, float]:
        """Its figures. Raises LoadError, StreamError, ChildError."""
        before = await self._read(case.target)
        requests, admitted, figures = await self._load(case, seconds)
        await quiet(case.target)
        after = await self._settle(case.target, before, admitted)
        self._sent += requests
        self._remember(case.target, after)
        carried_out = requests + _hung_up_on(case, before, after, admitted)
        cpu = _cpu(before.used, after.used, carried_out)
        own = sum(figure for name, figure in cpu.items() if name != f"cpu_us.{UPSTREAM}")
        found = {"cpu_us.all": own, **cpu, **figures, "requests": requests}
        if before.redis and after.redis:
            found |= after.redis.since(before.redis, carried_out)
        return found

    async def _load(self, case: Case, seconds: float) -> tuple[int, int, dict[str, float]]:
        if case.streams:
            plan = streams.Plan(case.streams, bodies.paced_seconds(), seconds)
            door, key = case.target.doors[case.door], case.target.key
            found = await streams.run(door, key, case.body, plan)
            return int(found["streams"]), int(found["streams"]), found
        if isinstance(case.target, Pair):
            done = await asyncio.gather(
                *[self._wrk(case, one, seconds) for one in case.target.both]
            )
            return _together(done)
        return _told(await self._wrk(case, case.target, seconds))

    async def _wrk(self, case: Case, target: Target, seconds: float) -> load.Run:
        keys = case.keys or (target.key,)
        # Later runs go on where earlier ones ended: keys that were not used yet.
        asked = Load(
            target.doors[case.door], case.body, keys, case.connections, case.rate,
            self._sent, case.refused,
        )  # fmt: skip
        return await load.run(asked, seconds)

    async def _settle(self, target: Target, before: _Read, admitted: int) -> _Read:
        if isinstance(target, Gateway):
            settled = await target.wait_settled(before.settled + admitted)
            self.answered += admitted
            self.settled += settled - before.settled
        return await self._read(target)

    async def _read(self, target: Target) -> _Read:
        used = target.used() | self._parts.upstream_used()
        if isinstance(target, Gateway):
            return _Read(used, await target.settled(), store.read(target.redis_url))
        return _Read(used)

    def _remember(self, target: Target, read: _Read) -> None:
        moment = time.monotonic() - self._begun
        for name, used in read.used.items():
            if name != UPSTREAM:
                self.memory.append((moment, target.name, name, used.rss_bytes))


@dataclass(frozen=True, slots=True)
class _Read:
    used: Mapping[str, Used]
    settled: int = 0
    redis: store.Asked | None = None


def _hung_up_on(case: Case, before: _Read, after: _Read, admitted: int) -> int:
    """What was under way when the load generator's time was over, and was carried out all the same.

    The ledger tells how many; of the others it is one a connection.
    """
    if isinstance(case.target, Gateway):
        return max(0, after.settled - before.settled - admitted)
    return 0 if case.rate or case.streams else case.connections


def _told(run: load.Run) -> tuple[int, int, dict[str, float]]:
    cpu = {f"cpu_us.{LOAD}": 1e6 * run.cpu_seconds / run.requests}
    return run.requests, run.admitted, cpu | run.figures


def _together(runs: Sequence[load.Run]) -> tuple[int, int, dict[str, float]]:
    """Requests added up, of latencies the higher."""
    found = {name: max(run.figures[name] for run in runs) for name in runs[0].figures}
    found["requests_per_second"] = sum(run.figures["requests_per_second"] for run in runs)
    return sum(run.requests for run in runs), sum(run.admitted for run in runs), found


def _cpu(before: Mapping[str, Used], after: Mapping[str, Used], requests: int) -> dict[str, float]:
    return {
        f"cpu_us.{name}": 1e6 * (used.cpu_seconds - before[name].cpu_seconds) / requests
        for name, used in after.items()
        if name in before
    }


async def quiet(target: Target) -> None:
    """Waits until it has no work left: what a load generator hung up on is still carried out."""
    deadline = time.monotonic() + _LONGEST_WAIT
    before = _busy(target)
    while time.monotonic() < deadline:
        await asyncio.sleep(_QUIET_SECONDS)
        now = _busy(target)
        if now - before <= _QUIET_SHARE * _QUIET_SECONDS:
            return
        before = now


def _busy(target: Target) -> float:
    return sum(used.cpu_seconds for used in target.used().values())
