"""One run of the chosen scenarios, from starting the parts to the last figure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from bench import figures, parts, report
from bench.load import LoadError
from bench.meter import Case, Meter
from bench.parts import BARE, Gateway, Parts
from bench.peers import run as peers
from bench.scenarios import CAPACITY, Ready, Scenario, full_load
from bench.streams import StreamError
from bench.targets import Target

_WARM_UP_SECONDS = 2
_PASSED_ON = (LoadError, StreamError)

Rounds = dict[str, list[dict[str, float]]]
Say = Callable[[str], None]


class Session:
    """Measures, and keeps what was found."""

    def __init__(
        self, chosen: Sequence[Scenario], peer_names: Sequence[str], many: int, say: Say
    ) -> None:
        self._chosen, self._peer_names, self._many, self._say = chosen, peer_names, many, say
        self._scenarios: dict[str, Any] = {}
        self._warm: set[str] = set()
        self._broken: list[str] = []

    async def run(self) -> dict[str, Any]:
        """What was measured; `broken` names what should not have failed.

        Raises LoadError, ChildError, InstallError.
        """
        async with parts.running() as running:
            self._meter = Meter(running)
            ready = await self._start(running)
            seconds = sum(scenario.about(len(ready.targets)) for scenario in self._chosen)
            self._say(f"all runs; now about {seconds / 60:.1f} minutes of measuring")
            for number, scenario in enumerate(self._chosen, 1):
                expected = f"about {scenario.about(len(ready.targets)):.0f} s"
                self._say(f"{number}/{len(self._chosen)} {scenario.title} ({expected})")
                await self._scenario(scenario, ready)
        return {
            "answered_requests": self._meter.answered,
            "settled_requests": self._meter.settled,
            "broken": self._broken,
            "scenarios": self._scenarios,
            "memory": memory(self._meter.memory),
        }

    async def _start(self, running: Parts) -> Ready:
        self._say("starting the upstream, a bare Envoy, the gateway")
        bare, gateway = await running.start_bare(), await running.start_gateway()
        targets: list[Target] = [bare, gateway]
        for name in self._peer_names:
            self._say(f"starting {name}")
            targets.append(await peers.start(name, running))
        return Ready(targets, gateway, await self._start_many(running), {})

    async def _start_many(self, running: Parts) -> Gateway | None:
        if not any(scenario.needs_many for scenario in self._chosen):
            return None
        self._say(f"starting a second gateway, with {self._many:,} keys")
        return await running.start_gateway(self._many, name="gateway-many")

    async def _scenario(self, scenario: Scenario, ready: Ready) -> None:
        if scenario.needs_capacity and not ready.capacity:
            await self._find_capacity(ready)
        cases = scenario.cases(ready)
        failed: dict[str, str] = {}
        rounds: Rounds = {case.name: [] for case in cases}
        await self._warm_up(cases, failed)
        for number in range(1, scenario.rounds + 1):
            for case in cases:
                if found := await self._one(case, scenario.seconds, failed):
                    rounds[case.name].append(found)
                    self._say(f"  {number}  {case.name:<24} {report.in_a_line(found)}")
        self._scenarios[scenario.name] = {
            "title": scenario.title,
            "base": cases[0].name,
            "cases": summaries(rounds, cases[0].name),
            "failed": failed,
        }
        if scenario.name == CAPACITY:
            self._keep_capacity(ready, rounds)

    async def _warm_up(self, cases: Sequence[Case], failed: dict[str, str]) -> None:
        """Each target once: connections, caches, and what an interpreter specialises."""
        for case in cases:
            if case.target.name not in self._warm:
                self._warm.add(case.target.name)
                await self._one(case, _WARM_UP_SECONDS, failed)

    async def _find_capacity(self, ready: Ready) -> None:
        self._say("  finding out what full load is")
        failed: dict[str, str] = {}
        cases = full_load(ready)
        found = {case.name: [await self._one(case, 2, failed) or {}] for case in cases}
        self._keep_capacity(ready, found)

    @staticmethod
    def _keep_capacity(ready: Ready, rounds: Rounds) -> None:
        for name, found in rounds.items():
            if name != BARE and found and found[0]:
                rate = figures.spread([one["requests_per_second"] for one in found])
                ready.capacity[name] = rate["median"]

    async def _one(
        self, case: Case, seconds: float, failed: dict[str, str]
    ) -> dict[str, float] | None:
        """What failed is not asked again; that one of ours did fails the run, at its end."""
        if case.name in failed:
            return None
        try:
            return await self._meter.run(case, seconds * peers.PATIENCE.get(case.target.name, 1))
        except _PASSED_ON as error:
            if case.target.name not in peers.NAMES:
                self._broken.append(f"{case.name}: {error}")
            failed[case.name] = str(error)
            self._say(f"  {case.name} failed: {error}")
            return None


def summaries(rounds: Rounds, base: str) -> dict[str, Any]:
    """Each case's rounds, and their summary against those of the base."""
    return {
        name: {"summary": figures.summary(found, rounds[base]), "rounds": found}
        for name, found in rounds.items()
        if found and len(found) == len(rounds[base])
    }


def memory(samples: Sequence[tuple[float, str, str, int]]) -> dict[str, Any]:
    """MB of each target's parts at the first and the last run, and MB a minute in between."""
    found: dict[str, Any] = {}
    for target, part in dict.fromkeys((target, part) for _, target, part, _ in samples):
        points = [(at / 60, rss / 1e6) for at, t, p, rss in samples if (t, p) == (target, part)]
        found.setdefault(target, {})[part] = {
            "first_mb": points[0][1],
            "last_mb": points[-1][1],
            "mb_per_minute": figures.slope(points[len(points) // 2 :]),
        }
    return found
