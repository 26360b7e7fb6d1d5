"""What the benchmark runs: a constant upstream, a bare Envoy before it, and the whole gateway."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from bench import policy
from tollhouse import keys
from tollhouse.local import envoy
from tollhouse.local.processes import Child, ChildError, Children

_HERE = Path(__file__).parent
_START_SECONDS = 60.0
_SETTLE_SECONDS = 30.0
_POLL_SECONDS = 0.05
# As many workers as `tollhouse up` gives its own Envoy (UpSettings.concurrency).
_CONCURRENCY = 2


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that runs, ready to be measured."""

    bare: str
    gateway: str
    key: str
    _metrics_url: str

    async def wait_settled(self, answered: int) -> int:
        """Waits until the ledger has settled every answered request; returns how many it has.

        That can be more: the load generator hangs up on the requests under way when its time is
        over, and those settle too. Raises ChildError when it does not come to that, for the road
        would have been measured unfinished.
        """
        deadline = time.monotonic() + _SETTLE_SECONDS
        while (settled := await self._settled()) < answered:
            if time.monotonic() > deadline:
                raise ChildError(f"{answered} requests were answered, {settled} are settled")
            await asyncio.sleep(_POLL_SECONDS)
        return settled

    async def _settled(self) -> int:
        async with httpx.AsyncClient(trust_env=False) as client:
            text = (await client.get(self._metrics_url)).text
        samples = (s for family in text_string_to_metric_families(text) for s in family.samples)
        return int(sum(s.value for s in samples if s.name == "tollhouse_settlements_total"))


@contextlib.asynccontextmanager
async def running() -> AsyncIterator[Parts]:
    """Starts all parts in a folder of their own; stops them and removes it. Raises ChildError."""
    with tempfile.TemporaryDirectory(prefix="tollhouse-bench-") as folder:
        root = Path(folder)
        children = Children(root / "logs")
        try:
            yield await _start(children, root)
        finally:
            await children.stop()


async def _start(children: Children, root: Path) -> Parts:
    upstream_port = await _envoy(children, root, "upstream")
    bare_port = await _envoy(children, root, "bare", UPSTREAM_PORT=str(upstream_port))
    key = keys.generate()
    up = await _gateway(children, root, policy.write(root / "policies", upstream_port, key))
    return Parts(
        bare=f"http://127.0.0.1:{bare_port}",
        gateway=up["endpoint"],
        key=key,
        _metrics_url=up["metrics"]["ratelimit_service"],
    )


async def _envoy(children: Children, root: Path, name: str, **values: str) -> int:
    config = root / f"{name}.yaml"
    config.write_text(Template((_HERE / f"{name}.yaml").read_text()).substitute(values))
    address = root / f"{name}.admin"
    child = await children.start(name, envoy.command(config, address, _CONCURRENCY))
    return await (await envoy.Admin.wait(child, address)).listener_port()


async def _gateway(children: Children, root: Path, policies: Path) -> dict[str, Any]:
    run_dir = root / "run"
    command = [
        *(sys.executable, "-m", "tollhouse", "up", "--port", "0"),
        *("--policies", str(policies), "--run-dir", str(run_dir)),
    ]
    child = await children.start("tollhouse", command)
    return await _up_json(child, run_dir / "up.json")


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
