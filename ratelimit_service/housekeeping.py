"""What the service does between calls: ends lost reservations, and watches that Redis answers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence

from ratelimit_service.claims import every_slot
from ratelimit_service.ledger.errors import LedgerError
from ratelimit_service.ledger.ledger import Ledger
from ratelimit_service.metrics import Metrics
from tollhouse.policy.compiled import Snapshot
from tollhouse.policy.watch import PolicyHolder
from tollhouse.serving.readiness import Readiness

log = logging.getLogger("ratelimit_service.housekeeping")

Chore = Callable[[], Awaitable[None]]

_PROBE_SECONDS = 1.0
_SWEEP_EVERY_PROBES = 10


class Housekeeping:
    """One probe a second, and then the chores; one sweep of ended leases every ten, and one when
    the policy changes, so that no team's slot goes unnoted."""

    def __init__(
        self,
        holder: PolicyHolder,
        ledger: Ledger,
        metrics: Metrics,
        readiness: Readiness,
        chores: Sequence[Chore],
    ) -> None:
        self._holder = holder
        self._ledger = ledger
        self._metrics = metrics
        self._readiness = readiness
        self._chores = chores
        self._swept: Snapshot | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`, and then the chores once more. They must not raise."""
        probes = 0
        while not stop.is_set():
            reachable = await self.probe()
            if reachable:
                await self._do_chores()
            due = probes % _SWEEP_EVERY_PROBES == 0 or not self.swept(self._holder.current)
            if reachable and due:
                await self._sweep()
            probes += 1
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _PROBE_SECONDS)
        await self._do_chores()

    async def _do_chores(self) -> None:
        for chore in self._chores:
            await chore()

    async def probe(self) -> bool:
        """Whether Redis answers; readiness and metrics say the same from here on."""
        try:
            whole = await self._ledger.ping()
        except LedgerError as error:
            self._metrics.redis_errors.labels("ping").inc()
            self._metrics.degraded.set(1)
            self._report(str(error))
            return False
        # A cluster without one of its masters serves the teams of the others.
        self._metrics.degraded.set(0 if whole else 1)
        self._readiness.fine("redis")
        return True

    def swept(self, snapshot: Snapshot) -> bool:
        """Whether this is the policy that was swept under last; its slots are noted then."""
        return self._swept is snapshot

    def _report(self, reason: str) -> None:
        # Under `allow` the service still does what the policy says: it is ready, and degraded.
        if self._holder.current.org.on_store_outage == "deny":
            self._readiness.problem("redis", reason)
        else:
            self._readiness.fine("redis")

    async def _sweep(self) -> None:
        snapshot = self._holder.current
        try:
            # A team that a policy no longer has may have left calls running.
            noted = await self._ledger.note_slots(every_slot(snapshot))
            self._swept = snapshot
            ended = await self._ledger.sweep(noted)
        except LedgerError:
            self._metrics.redis_errors.labels("sweep").inc()
            return
        if ended:
            log.warning(
                "reservations ended without a settlement", extra={"fields": {"reservations": ended}}
            )
