"""`make bench-policy`: a large policy; how it loads, reloads, and decides while it reloads."""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import uvloop
from envoy.service.auth.v3.external_auth_pb2 import CheckRequest
from prometheus_client import CollectorRegistry

from authz_service.metrics import Metrics
from authz_service.service import AuthzService
from bench import big_policy
from tollhouse import contract
from tollhouse.policy.source import PolicyDirectory
from tollhouse.policy.watch import PolicyHolder
from tollhouse.serving.background import InBackground
from tollhouse.serving.policy import PolicyMetrics

_KEYS_PER_TEAM = 200
_RELOADS = 20
_CALLS = 4000


@dataclass(frozen=True, slots=True)
class Latencies:
    """Seconds that calls took, from asking to having the answer and the loop back."""

    seconds: list[float]

    def __str__(self) -> str:
        ordered = sorted(self.seconds)
        p50, p99 = (ordered[int(len(ordered) * share)] for share in (0.5, 0.99))
        calls = f"{len(ordered):,} calls"
        return f"p50 {p50 * 1e3:.3f}  p99 {p99 * 1e3:.3f}  max {ordered[-1] * 1e3:.1f} ms ({calls})"


class Scene:
    """A service with its policy, asked without pause."""

    def __init__(self, directory: Path, teams: int, keys_per_team: int = _KEYS_PER_TEAM) -> None:
        self.directory = directory
        self.teams = teams
        self.holder = PolicyHolder(InBackground(PolicyDirectory(directory)))
        registry = CollectorRegistry()
        self.service = AuthzService(self.holder.current, Metrics(registry))
        self._policy_metrics = PolicyMetrics(registry)
        self._requests = cycle(_requests(teams, keys_per_team))

    async def decide(self, until: Callable[[int], bool]) -> Latencies:
        """Calls one after the other, all of which are allowed."""
        seconds: list[float] = []
        while not until(len(seconds)):
            request, started = next(self._requests), time.perf_counter()
            answer = self.service.check(request)
            await asyncio.sleep(0)
            seconds.append(time.perf_counter() - started)
            assert contract.PROVIDER_HEADER.encode() in answer
        return Latencies(seconds)

    async def reload(self, edit: Callable[[int], None], times: int) -> tuple[float, Latencies]:
        """The mean time of a reload in seconds, and the calls meanwhile."""
        over = asyncio.Event()
        deciding = asyncio.create_task(self.decide(lambda _: over.is_set()))
        spent = 0.0
        for number in range(times):
            edit(number)
            started = time.perf_counter()
            await asyncio.to_thread(self.holder.reload)
            spent += time.perf_counter() - started
            assert self.holder.finding.error is None
            self.service.adopt(self.holder.current)
            self._policy_metrics.loaded(self.holder.current)
        over.set()
        return spent / times, await deciding

    def edit_team(self, number: int) -> None:
        """Another limit for one team."""
        path = big_policy.team_file(self.directory, number % self.teams)
        path.write_text(
            path.read_text().replace("requests_per_minute: 1", "requests_per_minute: 2")
        )

    def edit_all(self, _number: int) -> None:
        """Another limit for every team."""
        for number in range(self.teams):
            self.edit_team(number)

    def edit_org(self, number: int) -> None:
        """Something that holds for every key."""
        path = self.directory / "org.yaml"
        before = "dev: {" if number % 2 == 0 else "dev: {denied_models: [model-3], "
        after = "dev: {denied_models: [model-3], " if number % 2 == 0 else "dev: {"
        path.write_text(path.read_text().replace(before, after))


def _requests(teams: int, keys_per_team: int) -> Iterator[bytes]:
    """Of keys all over the policy, each another one where there are enough."""
    keys = teams * keys_per_team
    for number in range(0, keys, max(1, keys // _CALLS)):
        yield _request(big_policy.secret(*divmod(number, keys_per_team)))


def _request(key: str) -> bytes:
    request = CheckRequest()
    http = request.attributes.request.http
    http.method, http.path = "POST", "/v1/chat/completions"
    http.headers["authorization"] = f"Bearer {key}"
    metadata = request.attributes.metadata_context.filter_metadata[contract.REQUEST]
    metadata.update({"endpoint": "chat/completions", "model": "model-1"})
    return bytes(request.SerializeToString())


def _rss_mb() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def _peak_mb() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def _say(what: str, figure: str) -> None:
    print(f"  {what:<46}{figure}", flush=True)


async def _at(root: Path, keys: int) -> None:
    teams = max(1, keys // _KEYS_PER_TEAM)
    per_team = min(keys, _KEYS_PER_TEAM)
    scene = Scene(big_policy.write(root / str(keys), teams, per_team), teams, per_team)
    await scene.decide(lambda done: done >= _CALLS)
    _say(f"a call, of {keys:,} keys", str(await scene.decide(lambda done: done >= _CALLS)))


async def measure(root: Path, teams: int) -> None:
    """Prints a line a figure."""
    keys = teams * _KEYS_PER_TEAM
    directory, before = big_policy.write(root / "policies", teams, _KEYS_PER_TEAM), _rss_mb()
    started = time.perf_counter()
    scene = Scene(directory, teams)
    _say("first load", f"{time.perf_counter() - started:.2f} s")
    loaded = _rss_mb() - before
    peak = _peak_mb() - before
    _say("memory", f"{loaded:.0f} MB, {loaded * 1024 / keys:.2f} KB a key; at most {peak:.0f} MB")
    for what, edit, times in (
        ("one team file", scene.edit_team, _RELOADS),
        ("org.yaml", scene.edit_org, 2),
        ("all team files", scene.edit_all, 1),
    ):
        seconds, calls = await scene.reload(edit, times)
        _say(f"reload after an edit of {what}", f"{seconds:.2f} s")
        _say("  calls meanwhile", str(calls))
    await scene.reload(scene.edit_team, 1)
    settled = _rss_mb()
    await scene.reload(scene.edit_team, _RELOADS)
    _say(f"memory after {_RELOADS} more reloads", f"{_rss_mb() - settled:+.1f} MB")
    await scene.decide(lambda done: done >= _CALLS)
    for fewer in (10, 1_000):
        await _at(root, fewer)
    _say(f"a call, of {keys:,} keys", str(await scene.decide(lambda done: done >= _CALLS)))


def main() -> None:
    parse = argparse.ArgumentParser(prog="bench.policy_scale", description=__doc__)
    parse.add_argument("--teams", type=int, default=500, help=f"of {_KEYS_PER_TEAM} keys each")
    teams = parse.parse_args().teams
    cpus, python = os.cpu_count(), platform.python_version()
    print(f"{teams * _KEYS_PER_TEAM:,} keys in {teams} files; {cpus} CPUs, Python {python}")
    with tempfile.TemporaryDirectory(prefix="tollhouse-bench-") as folder:
        uvloop.run(measure(Path(folder), teams))


if __name__ == "__main__":
    main()
