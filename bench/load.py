"""The load generator: wrk, in a closed loop."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

CONNECTIONS = 32
_THREADS = 2
_SCRIPT = Path(__file__).with_name("chat.lua")


class LoadError(Exception):
    """wrk is not installed, or some of its requests failed; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Load:
    """One run of wrk: every request of it was answered with 200."""

    requests: int
    requests_per_second: float
    p50_ms: float
    p99_ms: float


def require_wrk() -> str:
    """Its path. Raises LoadError."""
    if path := shutil.which("wrk"):
        return path
    raise LoadError(
        "the benchmark's load generator, wrk, is not installed "
        "(Debian, Ubuntu: apt-get install wrk; macOS: brew install wrk)"
    )


async def run(endpoint: str, key: str, seconds: int) -> Load:
    """Raises LoadError, also when a single request failed: a refusal is faster than an answer."""
    process = await asyncio.create_subprocess_exec(
        require_wrk(),
        *("-t", str(_THREADS), "-c", str(CONNECTIONS), "-d", f"{seconds}s", "--timeout", "10s"),
        *("-s", str(_SCRIPT), endpoint),
        env={**os.environ, "BENCH_KEY": key},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    text = output.decode(errors="replace")
    if process.returncode != 0:
        raise LoadError(f"wrk failed:\n{text}")
    report = json.loads(text.strip().rpartition("\n")[2])
    if report["errors"] or not report["requests"]:
        raise LoadError(f"{report['errors']} of {report['requests']} requests failed:\n{text}")
    return Load(
        requests=report["requests"],
        requests_per_second=report["requests"] / report["seconds"],
        p50_ms=report["p50_ms"],
        p99_ms=report["p99_ms"],
    )
