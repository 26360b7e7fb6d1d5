"""`make bench-audit`: reports over an access log of 10 million lines, against plain scans of it."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from itertools import islice
from pathlib import Path

import duckdb

from bench import access_lines
from console.audit import engine, reports
from console.audit.filters import CallFilters, Span
from console.audit.search import recent_errors

_LINES = 10_000_000
_LIMIT = 100
_SAMPLE = 200_000
_KEY = "team-3-assistant-1-dev-81"
_REPORTS = ("calls", "who", "denials", "spikes")


def _took(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _say(what: str, seconds: float, grep: float) -> None:
    print(f"  {what:<46}{seconds:7.1f} s   {seconds / grep:5.1f} x grep", flush=True)


def _grep(path: Path) -> None:
    # Debian's grep, in the C locale: bytes.
    command = ["/bin/grep", "-c", '"decision":"budget_exceeded"', str(path)]
    subprocess.run(command, check=True, capture_output=True, env={"LC_ALL": "C"})


def _python(path: Path, lines: int) -> None:
    """What `who` counts, as a script would."""
    calls: Counter[tuple[str, str]] = Counter()
    with path.open("rb") as file:
        for line in islice(file, lines):
            fields = json.loads(line)
            if fields["attempts"]:
                calls[fields["key_id"], fields["alias"]] += fields["usage"]["input_tokens"]


def _report(name: str, path: Path, filters: CallFilters) -> None:
    """In a process of its own, as the command runs; its memory is looked at."""
    with engine.opened() as db:
        report = getattr(reports, name)(db, [path], Span(), filters, _LIMIT)
    assert report.rows


def _in_a_process(name: str, path: Path, key: str) -> tuple[float, float]:
    """Seconds and the most memory in MB."""
    command = [sys.executable, "-m", "bench.audit_search", "--report", name, "--log", str(path)]
    began = time.perf_counter()
    done = subprocess.run([*command, "--key", key], check=True, capture_output=True, text=True)
    return time.perf_counter() - began, float(done.stdout)


def _peak_mb() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def measure(path: Path, lines: int) -> None:
    """Prints a line a figure."""
    _grep(path)
    grep = _took(lambda: _grep(path))
    _say("grep -c, of one word", grep, grep)
    sample = min(lines, _SAMPLE)
    python = _took(lambda: _python(path, sample)) * lines / sample
    _say(f"Python, json.loads (from {sample:,} lines)", python, grep)
    for name, key in (*((name, "*") for name in _REPORTS), ("calls", _KEY), ("who", _KEY)):
        seconds, peak = _in_a_process(name, path, key)
        of = "" if key == "*" else ", of one key"
        _say(f"--report {name}{of} ({peak:.0f} MB)", seconds, grep)
    began = access_lines.BEGAN
    last_day = began + timedelta(days=access_lines.DAYS - 1)
    for what, since, only in (
        ("the newest 100 errors", began, CallFilters()),
        ("the newest 100 errors of a key", began, CallFilters(key=_KEY)),
        ("errors of a key without any, of the last day", last_day, CallFilters(key="none")),
    ):
        asked = _took(partial(recent_errors, [str(path)], since=since, filters=only))
        print(f"  {what:<46}{asked * 1e3:7.0f} ms", flush=True)


def main() -> None:
    parse = argparse.ArgumentParser(prog="bench.audit_search", description=__doc__)
    parse.add_argument("--lines", type=int, default=_LINES)
    parse.add_argument("--log", type=Path, help="an access log that is there")
    parse.add_argument("--report", choices=_REPORTS, help="this one alone")
    parse.add_argument("--key", default="*")
    asked = parse.parse_args()
    if asked.report:
        _report(asked.report, asked.log, CallFilters(key=asked.key))
        print(_peak_mb())
        return
    with tempfile.TemporaryDirectory(prefix="tollhouse-bench-") as folder:
        path = Path(folder) / "access.json"
        seconds = _took(lambda: access_lines.write(path, asked.lines))
        gb = path.stat().st_size / 1e9
        versions = f"DuckDB {duckdb.__version__}, Python {platform.python_version()}"
        print(f"{asked.lines:,} lines, {gb:.1f} GB, written in {seconds:.0f} s;", end=" ")
        print(f"{os.cpu_count()} CPUs, {versions}", flush=True)
        measure(path, asked.lines)


if __name__ == "__main__":
    main()
