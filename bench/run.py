"""`make bench`: the whole road beside a bare Envoy, and beside what people would use instead."""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import time
from collections.abc import Sequence

from bench import load, results
from bench.load import LoadError
from bench.peers import install
from bench.peers import run as peers
from bench.peers.install import InstallError
from bench.scenarios import MANY, Scenario, all_scenarios, quick
from bench.session import Session
from bench.streams import StreamError
from tollhouse.local.envoy import EnvoyMissing
from tollhouse.local.processes import ChildError

_QUICK_MANY = 1_000
FAILURES = (LoadError, StreamError, ChildError, EnvoyMissing, InstallError)


def options() -> argparse.ArgumentParser:
    parse = argparse.ArgumentParser(prog="bench", description=__doc__)
    parse.add_argument("--quick", action="store_true", help="a first impression, in a minute or so")
    parse.add_argument("--only", action="append", default=[], metavar="SCENARIO")
    parse.add_argument("--without", action="append", default=[], choices=[*peers.NAMES, "plots"])
    parse.add_argument("--rounds", type=int, help="of every scenario")
    parse.add_argument("--seconds", type=float, help="of every run of the load generator")
    parse.add_argument("--keys", type=int, help=f"of the second gateway ({MANY:,})")
    return parse


def chosen(asked: argparse.Namespace) -> list[Scenario]:
    """Raises LoadError for a scenario that there is not."""
    every = {scenario.name: scenario for scenario in all_scenarios()}
    if unknown := sorted(set(asked.only) - set(every)):
        raise LoadError(f"no scenario is called {unknown[0]}; there are {', '.join(every)}")
    scenarios = [every[name] for name in every if not asked.only or name in asked.only]
    if asked.quick:
        scenarios = [quick(scenario) for scenario in scenarios]
    return [one.with_times(asked.rounds, asked.seconds) for one in scenarios]


def bench(asked: argparse.Namespace, arguments: Sequence[str]) -> None:
    """Raises one of FAILURES."""
    load.require_wrk()
    scenarios = chosen(asked)
    names = [name for name in peers.NAMES if name not in asked.without]
    for name in names:
        peers.prepare(name)
    many = asked.keys or (_QUICK_MANY if asked.quick else MANY)
    measured = asyncio.run(Session(scenarios, names, many, say).run())
    command = " ".join(["python -m bench.run", *arguments]) if arguments else "make bench"
    # Only a full run in which nothing failed is one to publish.
    name = "partial" if arguments or measured["broken"] else "latest"
    tables = results.write({**results.facts(command, names), **measured}, name)
    if name == "latest":
        results.publish()
    if "plots" not in asked.without:
        draw(name)
    print(f"\n{tables.read_text()}\nbench: {tables.parent}/{name}.json, {name}.md, {name}-*.svg")
    if measured["broken"]:
        raise LoadError("; ".join(measured["broken"]))


def draw(name: str) -> None:
    """The plots of a result. Raises InstallError."""
    script = str(results.HERE.parent / "plots.py")
    command = [str(install.plots()), script, str(results.HERE / f"{name}.json")]
    if subprocess.run(command, check=False).returncode:
        raise InstallError("the plots could not be drawn; the figures are written")


def say(text: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {text}", flush=True)


def main() -> int:
    asked = options().parse_args()
    try:
        bench(asked, sys.argv[1:])
    except FAILURES as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
