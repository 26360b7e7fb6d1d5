"""Waits until the services go by a policy, so that a key works when its creation is answered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from tollhouse.fetch import Unreachable, get_json

_LOOK_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class InForce:
    """`services` are the side doors of the services to ask: http://host:port, without a slash."""

    services: Sequence[str]
    patience_seconds: float = 5.0

    async def wait(self, version: str, written_at: float) -> bool | None:
        """True once all go by this version, or by one that was loaded later; False when one does
        not in time; None where there is nobody to ask. `written_at` is seconds since the epoch."""
        if not self.services:
            return None
        asked = (self._one(service, version, written_at) for service in self.services)
        return all(await asyncio.gather(*asked))

    async def _one(self, service: str, version: str, written_at: float) -> bool:
        deadline = time.monotonic() + self.patience_seconds
        while time.monotonic() < deadline:
            if await asyncio.to_thread(_goes_by, service, version, written_at):
                return True
            await asyncio.sleep(_LOOK_SECONDS)
        return False


def _goes_by(service: str, version: str, written_at: float) -> bool:
    try:
        told = get_json(f"{service}/policy")
    except Unreachable:
        return False
    loaded_at = told.get("loaded_at")
    newer = isinstance(loaded_at, int | float) and loaded_at >= written_at
    return told.get("version") == version or (newer and not told.get("stale"))
