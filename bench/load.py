"""The load generator: wrk, in a closed loop or, at a given rate, in an open one."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.targets import Door

_SCRIPT = Path(__file__).with_name("load.lua")
_TIMEOUT_SECONDS = 30
_PATIENCE = 5
# A rate was not kept where more of its moments than this found no free connection.
_HELD_BACK = 0.01


class LoadError(Exception):
    """wrk is not installed, or some of its requests failed; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Load:
    """What to send. `keys` are used in this order, over and over, from `start` on."""

    door: Door
    body: bytes
    keys: Sequence[str]
    connections: int = 32
    rate: float | None = None
    start: int = 0
    refused: bool = False


@dataclass(frozen=True, slots=True)
class Run:
    """One run of wrk, in which every request was answered, or every one refused if that was so
    wanted (but for `admitted`: a limit lets one pass a minute)."""

    requests: int
    admitted: int
    cpu_seconds: float
    figures: dict[str, float]


def require_wrk() -> str:
    """Its path. Raises LoadError."""
    if path := shutil.which("wrk"):
        return path
    raise LoadError(
        "the benchmark's load generator, wrk, is not installed "
        "(Debian, Ubuntu: apt-get install wrk; macOS: brew install wrk)"
    )


async def run(load: Load, seconds: float) -> Run:
    """Raises LoadError, also when a single request failed: a refusal is faster than an answer."""
    report = await _report(load, seconds)
    if not report["requests"] and not report["failed"]:
        # Slower than it was given time for.
        report = await _report(load, seconds * _PATIENCE)
    return parse(report, load)


async def _report(load: Load, seconds: float) -> dict[str, Any]:
    threads = 1 if load.rate or load.connections == 1 else 2
    with tempfile.TemporaryDirectory(prefix="tollhouse-bench-load-") as folder:
        process = await asyncio.create_subprocess_exec(
            *(require_wrk(), "-t", str(threads), "-c", str(load.connections)),
            *("-d", f"{max(1, round(seconds))}s", "--timeout", f"{_TIMEOUT_SECONDS}s"),
            *("-s", str(_SCRIPT), load.door.url),
            env={**os.environ, **_told(load, Path(folder))},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            output, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
    text = output.decode(errors="replace")
    if process.returncode != 0:
        raise LoadError(f"wrk failed:\n{text}")
    report: dict[str, Any] = json.loads(text.strip().rpartition("\n")[2])
    return report


def _told(load: Load, folder: Path) -> dict[str, str]:
    headers = "\n".join(f"{name}: {value}" for name, value in load.door.headers.items())
    files = {"HEADERS": headers.encode(), "BODY": load.body, "KEYS": "\n".join(load.keys).encode()}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    told = {f"BENCH_{name}": str(folder / name) for name in files}
    told["BENCH_START"] = str(load.start % len(load.keys))
    return told | ({"BENCH_RATE": f"{load.rate:.3f}"} if load.rate else {})


def parse(report: Mapping[str, Any], load: Load) -> Run:
    """Of the last line that load.lua wrote. Raises LoadError."""
    requests, refused = report["requests"], report["refused"]
    admitted = requests - refused
    wanted = admitted <= 2 if load.refused else refused == 0
    if report["failed"] or not requests or not wanted:
        raise LoadError(
            f"of {requests} requests {refused} were refused and {report['failed']} failed; "
            f"every one should have been {'refused' if load.refused else 'answered'}"
        )
    figures = {name: report[name] for name in ("p50_ms", "p99_ms", "p999_ms", "max_ms")}
    figures["requests_per_second"] = requests / report["seconds"]
    if load.rate:
        figures["held_back"] = report["held_back"] / requests
        figures["rate"] = load.rate
    return Run(requests, admitted, report["cpu_seconds"], figures)


def kept_rate(figures: Mapping[str, float]) -> bool:
    """Whether an open loop was one: else its percentiles are too low."""
    return figures.get("held_back", 0.0) <= _HELD_BACK
