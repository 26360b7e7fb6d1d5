"""`make guard`: counts instructions on the hot paths, and compares them with baseline.json.

`python -m bench.guard --write` (`make guard-baseline`) writes the baseline anew.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.guard import baseline, callgrind, measured, store
from bench.guard.callgrind import CallgrindError, Counted
from bench.guard.comparing import INSTRUCTIONS, Figure, Finding, compare
from tollhouse.local.embedded_redis import EmbeddedRedis

_DUMPS_EACH = 3


def measure() -> dict[str, Figure]:
    """The figures of all paths, by name. Raises CallgrindError."""
    callgrind.require()
    with tempfile.TemporaryDirectory(prefix="tollhouse-guard-") as name, ThreadPoolExecutor() as at:
        folder = Path(name)
        for part in ("process", "redis", "store"):
            (folder / part).mkdir()
        of_store = at.submit(store.figures, folder / "store")
        return {**_of_process(folder / "process", folder / "redis"), **of_store.result()}


@contextmanager
def _redis(folder: Path) -> Iterator[str]:
    redis = EmbeddedRedis(folder)
    with subprocess.Popen(redis.command(), stdout=subprocess.DEVNULL) as process:
        try:
            redis.wait_until_ready()
            yield redis.url
        finally:
            process.terminate()


def _of_process(folder: Path, redis_folder: Path) -> dict[str, Figure]:
    with _redis(redis_folder) as url:
        command = [sys.executable, "-m", "bench.guard.measured", str(folder), url]
        counted = Counted(command, folder, measured.DUMPED_AT, counting=False)
        try:
            counted.wait_for(folder / measured.READY)
            counted.count()
            (folder / measured.READY).unlink()
            counted.wait()
        finally:
            counted.stop()
    plan = json.loads((folder / measured.PLAN).read_text())
    return dict(_figures(plan, counted.dumps()))


def _figures(plan: list[Any], dumps: list[int]) -> Iterator[tuple[str, Figure]]:
    took: dict[str, float] = {}
    for place, (name, _, times) in enumerate(plan):
        _, once, twice = dumps[place * _DUMPS_EACH : (place + 1) * _DUMPS_EACH]
        took[name] = (twice - once) / times
    for name, reference, _ in plan:
        if name != reference:
            yield name, Figure(took[name], INSTRUCTIONS, took[name] / took[reference])


def _say(findings: Iterable[Finding]) -> None:
    for each in findings:
        change = "" if each.change is None else f"{each.change:+.1%}"
        amount = f"{each.figure.amount:,.0f} {each.figure.unit}"
        print(f"{each.name:<45} {amount:>24} {change:>8}  {each.verdict.value}".rstrip())


def main() -> int:
    """The exit status."""
    parse = argparse.ArgumentParser(prog="bench.guard", description=__doc__)
    parse.add_argument("--write", action="store_true", help="write the baseline anew")
    write = parse.parse_args().write
    try:
        figures = measure()
    except CallgrindError as error:
        print(f"guard: {error}", file=sys.stderr)
        return 1
    before = baseline.read()
    findings = list(compare(figures, before.figures, before.tolerances))
    _say(findings)
    if write:
        baseline.write(figures)
        return 0
    failed = [each for each in findings if each.verdict.fails]
    if failed:
        print(f"guard: {len(failed)} of {len(findings)} figures failed.", file=sys.stderr)
        if not before.is_of_this_python:
            print(f"guard: the baseline is of another Python, {before.python}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
