"""`make bench-soak`: ten minutes of an open loop at half load, and the memory of every process."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from typing import Any

from bench import bodies, figures, load, parts, results
from bench.load import Load
from bench.parts import Gateway
from bench.run import FAILURES, draw, say
from bench.targets import PLAIN

_SAMPLE_SECONDS = 5.0
_FULL_LOAD_SECONDS = 5
_CONNECTIONS = 256

Samples = dict[str, list[tuple[float, float]]]
"""By part: (minutes, MB resident)."""


async def soak(seconds: float) -> dict[str, Any]:
    """Raises LoadError, ChildError."""
    async with parts.running() as running:
        gateway = await running.start_gateway()
        door, keys = gateway.doors[PLAIN], (gateway.key,)
        say("finding out what full load is")
        full = await load.run(Load(door, bodies.chat(), keys), _FULL_LOAD_SECONDS)
        rate = full.figures["requests_per_second"] / 2
        say(f"{rate:,.0f} requests/s for {seconds / 60:.1f} minutes")
        samples: Samples = {}
        sampling = asyncio.create_task(_sample(gateway, samples))
        try:
            asked = Load(door, bodies.chat(), keys, _CONNECTIONS, rate)
            done = await load.run(asked, seconds)
        finally:
            sampling.cancel()
        answered = full.admitted + done.admitted
        settled = await gateway.wait_settled(answered)
    return {
        "rate": rate,
        "answered_requests": answered,
        "settled_requests": settled,
        "figures": done.figures,
        "growth": growth(samples),
        "samples": samples,
    }


def growth(samples: Samples) -> dict[str, dict[str, float]]:
    """MB at the start and the end, and MB a minute in the second half, after all is warm."""
    return {
        part: {
            "first_mb": points[0][1],
            "last_mb": points[-1][1],
            "mb_per_minute": figures.slope(points[len(points) // 2 :]),
        }
        for part, points in samples.items()
    }


async def _sample(gateway: Gateway, samples: Samples) -> None:
    begun = time.monotonic()
    while True:
        moment = (time.monotonic() - begun) / 60
        for part, used in gateway.used().items():
            samples.setdefault(part, []).append((moment, used.rss_bytes / 1e6))
        await asyncio.sleep(_SAMPLE_SECONDS)


def main() -> int:
    parse = argparse.ArgumentParser(prog="bench.soak", description=__doc__)
    parse.add_argument("--minutes", type=float, default=10)
    asked = parse.parse_args()
    try:
        load.require_wrk()
        found = asyncio.run(soak(60 * asked.minutes))
        command = f"python -m bench.soak --minutes {asked.minutes:g}"
        results.write_json({**results.facts(command, ()), **found}, "soak")
        draw("soak")
    except FAILURES as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    for part, of in found["growth"].items():
        print(f"{part:<20} {of['last_mb']:8.1f} MB {of['mb_per_minute']:+8.2f} MB a minute")
    return 0


if __name__ == "__main__":
    sys.exit(main())
