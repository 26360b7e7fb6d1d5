"""What the benchmark runs: a constant upstream, a bare Envoy before it, and whole gateways."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from string import Template
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from bench import bodies, policy, processes
from bench.policy import Keys
from bench.targets import PACED, PLAIN, Door, Target, gateway_doors
from tollhouse.local import envoy
from tollhouse.local.processes import Child, ChildError, Children

BARE, GATEWAY, UPSTREAM = "bare", "gateway", "upstream"

_HERE = Path(__file__).parent
_START_SECONDS = 90.0
_SETTLE_SECONDS = 60.0
_POLL_SECONDS = 0.05
# As many workers as `tollhouse up` gives its own Envoy (UpSettings.concurrency).
_CONCURRENCY = 2


@dataclass(frozen=True, slots=True)
class Gateway(Target):
    """`tollhouse up`, as anyone runs it."""

    keys: Keys
    redis_url: str
    metrics_url: str

    async def settled(self) -> int:
        """How many calls the ledger has settled since it started."""
        async with httpx.AsyncClient(trust_env=False) as client:
            text = (await client.get(self.metrics_url)).text
        samples = (s for family in text_string_to_metric_families(text) for s in family.samples)
        return int(sum(s.value for s in samples if s.name == "tollhouse_settlements_total"))

    async def wait_settled(self, least: int) -> int:
        """Waits until the ledger has settled so many; returns how many it has.

        That can be more: the load generator hangs up on the requests under way when its time is
        over, and those settle too. Raises ChildError when it does not come to that, for the road
        would have been measured unfinished.
        """
        deadline = time.monotonic() + _SETTLE_SECONDS
        while (settled := await self.settled()) < least:
            if time.monotonic() > deadline:
                raise ChildError(f"{least} calls should be settled, {settled} are")
            await asyncio.sleep(_POLL_SECONDS)
        return settled


@dataclass(frozen=True, slots=True)
class Pair(Gateway):
    """Two replicas, loaded at once and read as one."""

    both: tuple[Gateway, Gateway]

    async def settled(self) -> int:
        return sum([await one.settled() for one in self.both])


def pair(first: Gateway, second: Gateway) -> Pair:
    """Of a gateway and its replica."""

    def used() -> dict[str, processes.Used]:
        return processes.added(first.used(), second.used())

    return Pair(
        "pair", first.doors, first.key, used,
        first.keys, first.redis_url, first.metrics_url, (first, second),
    )  # fmt: skip


class Parts:
    """Starts parts in a folder of their own. Every method raises ChildError."""

    def __init__(self, children: Children, root: Path) -> None:
        self.children, self.root = children, root
        self.upstream = ""
        self.upstream_used: Callable[[], dict[str, processes.Used]] = dict

    async def start_upstream(self) -> None:
        """To be started first: what all others answer from."""
        folder = self.root / "streams"
        folder.mkdir()
        (folder / "paced").write_bytes(bodies.events())
        for count in bodies.BURSTS:
            (folder / f"burst-{count}").write_bytes(bodies.events(count))
        pace = str(bodies.KIB_PER_SECOND)
        child, url = await self._envoy(UPSTREAM, STREAMS=str(folder), KIB_PER_SECOND=pace)
        self.upstream = url
        self.upstream_used = partial(processes.used_as_one, child.process.pid, UPSTREAM)

    async def start_bare(self) -> Target:
        """The bare Envoy."""
        port = self.upstream.rpartition(":")[2]
        child, url = await self._envoy(BARE, UPSTREAM_PORT=port)
        paths = {PLAIN: "/v1", PACED: "/paced/v1"}
        paths |= {bodies.burst(n): f"/burst-{n}/v1" for n in bodies.BURSTS}
        doors = {name: Door(f"{url}{path}/chat/completions") for name, path in paths.items()}
        return Target(BARE, doors, "none", partial(processes.used, child.process.pid, BARE))

    async def start_gateway(
        self,
        many: int = 0,
        *,
        name: str = GATEWAY,
        like: Gateway | None = None,
        levels: int = len(policy.LEVELS),
    ) -> Gateway:
        """One with so many keys beside its own three and limits at so many levels, or a replica
        of another, on its Redis."""
        root = self.root / name
        root.mkdir()
        chosen = like.keys if like else policy.make_keys(many)
        policies = policy.write(root / "policies", self.upstream, chosen, levels)
        up, child = await self._up(name, policies, like.redis_url if like else None)
        return Gateway(
            name,
            gateway_doors(up["endpoint"]),
            chosen.plain,
            partial(processes.used, child.process.pid, "tollhouse"),
            chosen,
            like.redis_url if like else up["redis_url"],
            up["metrics"]["ratelimit_service"],
        )

    async def _envoy(self, name: str, **values: str) -> tuple[Child, str]:
        config = self.root / f"{name}.yaml"
        config.write_text(Template((_HERE / f"{name}.yaml").read_text()).substitute(values))
        address = self.root / f"{name}.admin"
        child = await self.children.start(name, envoy.command(config, address, _CONCURRENCY))
        port = await (await envoy.Admin.wait(child, address)).listener_port()
        return child, f"http://127.0.0.1:{port}"

    async def _up(
        self, name: str, policies: Path, redis_url: str | None
    ) -> tuple[dict[str, Any], Child]:
        run_dir = self.root / name / "run"
        command = [
            *(sys.executable, "-m", "tollhouse", "up", "--port", "0"),
            *("--policies", str(policies), "--run-dir", str(run_dir)),
            *(("--redis-url", redis_url) if redis_url else ()),
        ]
        child = await self.children.start(name, command)
        return await _up_json(child, run_dir / "up.json"), child


@contextlib.asynccontextmanager
async def running() -> AsyncIterator[Parts]:
    """Parts, whose upstream runs; stops all of them and removes their folder at the end."""
    with tempfile.TemporaryDirectory(prefix="tollhouse-bench-") as folder:
        children = Children(Path(folder) / "logs")
        parts = Parts(children, Path(folder))
        try:
            await parts.start_upstream()
            yield parts
        finally:
            await children.stop()


async def _up_json(child: Child, path: Path) -> dict[str, Any]:
    deadline = time.monotonic() + _START_SECONDS
    while (up := _read(path)) is None:
        if child.process.returncode is not None:
            raise ChildError(f"tollhouse up did not start.\n{child.last_words()}")
        if time.monotonic() > deadline:
            raise ChildError(f"tollhouse up was not ready in time.\n{child.last_words()}")
        await asyncio.sleep(_POLL_SECONDS)
    return up


def _read(path: Path) -> dict[str, Any] | None:
    try:
        loaded: dict[str, Any] = json.loads(path.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return loaded
