"""`make bench-growth`: how CPU a request grows with scopes, keys, the policy, bodies, streams and
replicas."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bench import bodies, figures, load, parts, policy, report, results
from bench.meter import Case, Meter
from bench.parts import Parts
from bench.run import FAILURES, draw, say

MANY = 100_000
_BIG = 1_000_000


@dataclass(frozen=True, slots=True)
class Point:
    """Where on a curve a case is."""

    at: str
    case: Case


@dataclass(frozen=True, slots=True)
class Sweep:
    """What grows, and in what unit."""

    name: str
    title: str
    unit: str
    points: Sequence[Point]


async def grow(rounds: int, seconds: float, many: int) -> dict[str, Any]:
    """Raises LoadError, ChildError."""
    found: dict[str, Any] = {"answered_requests": 0, "settled_requests": 0, "sweeps": {}}
    for make in _SWEEPS:
        # Each sweep by itself, so that no gateway of another one takes part of the machine.
        async with parts.running() as running:
            meter = Meter(running)
            sweep = await make(running, many)
            expected = len(sweep.points) * (rounds * (seconds + 0.5) + 1.5)
            say(f"{sweep.title} (about {expected:.0f} s)")
            found["sweeps"][sweep.name] = await _measure(meter, sweep, rounds, seconds)
            found["answered_requests"] += meter.answered
            found["settled_requests"] += meter.settled
    return found


async def _measure(meter: Meter, sweep: Sweep, rounds: int, seconds: float) -> dict[str, Any]:
    measured: list[list[dict[str, float]]] = [[] for _ in sweep.points]
    for point in sweep.points:
        await meter.run(point.case, 1)
    for _ in range(rounds):
        for kept, point in zip(measured, sweep.points, strict=True):
            kept.append(await meter.run(point.case, seconds))
            say(f"  {point.at:>10}  {report.in_a_line(kept[-1])}")
    return {
        "title": sweep.title,
        "unit": sweep.unit,
        "parts": figures.parts_of(measured[0][0]),
        "points": [
            {"at": point.at, "summary": figures.summary(kept, measured[0])}
            for point, kept in zip(sweep.points, measured, strict=True)
        ],
    }


async def _scopes(running: Parts, _: int) -> Sweep:
    """Levels that limit a call: none, then the key, its project, its team, the alias, the org."""
    gateways = [
        await running.start_gateway(name=f"scopes-{levels}", levels=levels)
        for levels in range(len(policy.LEVELS) + 1)
    ]
    points = [Point(str(n), Case(one.name, one, bodies.chat())) for n, one in enumerate(gateways)]
    return Sweep("scopes", "Levels with limits", "levels", points)


async def _bodies(running: Parts, _: int) -> Sweep:
    gateway = await running.start_gateway(name="bodies")
    sizes = (1_000, 10_000, 100_000, _BIG, 5 * _BIG)
    points = [
        Point(f"{size // 1000:,}", Case("body", gateway, bodies.chat_of(size), connections=8))
        for size in sizes
    ]
    return Sweep("bodies", "Size of the body", "KB", points)


async def _streams(running: Parts, _: int) -> Sweep:
    gateway = await running.start_gateway(name="streams-growth")
    points = [
        Point(f"{n:,}", Case("stream", gateway, bodies.chat(bodies.burst(n), stream=True)))
        for n in bodies.BURSTS
    ]
    return Sweep("streams", "Length of a stream that comes at once", "events", points)


async def _policies(running: Parts, many: int) -> Sweep:
    """All of a policy's keys in use, in policies that have no others."""
    points = []
    for count in sorted({10, many // 100, many}):
        gateway = await running.start_gateway(count, name=f"policy-{count}")
        keys = gateway.keys.many
        points.append(Point(f"{count:,}", Case("keys", gateway, bodies.chat(), keys=keys)))
    return Sweep("keys", "Keys, all of them in use", "keys in the policy", points)


async def _replicas(running: Parts, _: int) -> Sweep:
    """A gateway more on the same Redis, each asked as much."""
    first = await running.start_gateway(name="replica-1")
    second = await running.start_gateway(name="replica-2", like=first)
    cases = [
        Case("replicas", target, bodies.chat(), connections=16)
        for target in (first, parts.pair(first, second))
    ]
    points = [Point(str(n), case) for n, case in enumerate(cases, 1)]
    return Sweep("replicas", "Replicas on one Redis", "gateways", points)


_SWEEPS: Sequence[Callable[[Parts, int], Awaitable[Sweep]]] = (
    _scopes,
    _bodies,
    _streams,
    _policies,
    _replicas,
)


def main() -> int:
    parse = argparse.ArgumentParser(prog="bench.growth", description=__doc__)
    parse.add_argument("--rounds", type=int, default=2)
    parse.add_argument("--seconds", type=float, default=2, help="of each run of wrk")
    parse.add_argument("--keys", type=int, default=MANY, help="of the largest policy")
    asked = parse.parse_args()
    try:
        load.require_wrk()
        found = asyncio.run(grow(asked.rounds, asked.seconds, asked.keys))
        command = " ".join(["python -m bench.growth", *sys.argv[1:]])
        results.write_json({**results.facts(command, ()), **found}, "growth")
        draw("growth")
    except FAILURES as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    print("\n".join(_table(sweep) for sweep in found["sweeps"].values()))
    return 0


def _table(sweep: dict[str, Any]) -> str:
    header = [f"{sweep['title']} ({sweep['unit']})", "CPU µs a request"]
    header += [part.removeprefix("cpu_us.") for part in sweep["parts"]]
    rows = [
        [point["at"]]
        + [f"{point['summary'][name]['median']:,.0f}" for name in ("cpu_us.all", *sweep["parts"])]
        for point in sweep["points"]
    ]
    return report.table(header, rows) + "\n"


if __name__ == "__main__":
    sys.exit(main())
