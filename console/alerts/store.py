"""The boundary to Redis for alerts: who delivers which, and what was told.

    th:alert:{team:marketing}:team:marketing:monthly_spend_usd:2026-11    HASH
    th:alert:{team:marketing}:key:web-1@small:daily_spend_usd:2026-11-24  HASH
    th:alert:{team:marketing}:team:marketing:spike:2026-11-24             HASH

One for each budget and period of which something was told, and each spike; they go a day after the
period has ended. What is in them is told at the head of scripts/claim.lua. The braces are those of
the ledger's own keys.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Literal, cast

from console.alerts.alert import Alert
from ratelimit_service.ledger.errors import LedgerUnavailable
from ratelimit_service.ledger.store import STORE_ERRORS, open_redis, translated

Claim = Literal["claimed", "told", "busy"]

LEASE_SECONDS = 90.0
"""How long a claim is good for: many times what a delivery takes, and less than the half of it
must pass between two checks (see AlertLoop)."""

_SCRIPTS = Path(__file__).parent / "scripts"


class AlertStore:
    """What all replicas know of alerts. `redis_url` and `timeout_seconds` as for Readings; `clock`,
    in microseconds since 1970, replaces Redis's own for tests.

    Every method but `close` raises LedgerUnavailable.
    """

    def __init__(
        self,
        redis_url: str,
        timeout_seconds: float = 2.0,
        *,
        prefix: str = "th:",
        clock: Callable[[], int] | None = None,
    ) -> None:
        self._redis = open_redis(redis_url, timeout_seconds=timeout_seconds)
        self._timeout = timeout_seconds
        self._prefix = prefix
        self._clock = clock
        self._owner = secrets.token_hex(8)

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    async def claim(self, alert: Alert) -> Claim:
        """Whether this replica is to deliver it: "told" and "busy" say why not."""
        arguments = (self._owner, round(LEASE_SECONDS * 1000), alert.percent, alert.threshold)
        answer = await self._run("claim", alert, self._now(), *arguments, alert.kept_seconds)
        return cast(Claim, answer)

    async def mark(self, alert: Alert) -> None:
        """It was delivered; it and the thresholds below it are not told again."""
        percents = (alert.percent, *alert.lower)
        await self._run("mark", alert, self._owner, alert.spent, alert.kept_seconds, *percents)

    async def postpone(self, alert: Alert, seconds: float) -> None:
        """It could not be delivered; nobody tries again for so long."""
        await self._run("postpone", alert, self._now(), self._owner, round(seconds * 1000))

    async def _run(self, script: str, alert: Alert, *arguments: str | int) -> str:
        key = f"{self._prefix}alert:{alert.identity}"
        try:
            async with asyncio.timeout(self._timeout):
                reply = await self._redis.eval(_script(script), 1, key, *map(str, arguments))
        except STORE_ERRORS as error:
            raise LedgerUnavailable(str(translated(error))) from error
        return cast(bytes, reply).decode()

    def _now(self) -> str:
        return "" if self._clock is None else str(self._clock())


@cache
def _script(name: str) -> str:
    return (_SCRIPTS / f"{name}.lua").read_text("utf-8")
