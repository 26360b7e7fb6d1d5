"""Looks at budgets and days of use, and tells each alert once, whatever fails meanwhile.

An alert is claimed in Redis, delivered, and marked as told there. A process that is killed between
the webhook's 2xx and the mark leaves a claim that ends, and another delivers once more; so does
one that is stopped in between for longer than a claim is good for. Nothing else is told twice:
where Redis is away when it comes to the mark, that is tried again each second, and replicas that
saw Redis away wait one check before they claim. So two checks must fit into a claim's lease.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any

from console.alerts.alert import Alert, crossed_budgets
from console.alerts.details import details
from console.alerts.message import message
from console.alerts.metrics import AlertMetrics
from console.alerts.store import LEASE_SECONDS, AlertStore
from console.alerts.trouble import Trouble
from console.alerts.unusual import SpikeWatch
from console.alerts.waits import wait_seconds
from console.alerts.webhook import DeliveryFailed
from console.reads.readings import Readings
from ratelimit_service.ledger.errors import LedgerUnavailable
from tollhouse.policy.compiled import Snapshot
from tollhouse.policy.management import Alerts
from tollhouse.policy.secret import Secret

Deliver = Callable[[Secret, dict[str, Any]], Awaitable[None]]

log = logging.getLogger("console.alerts")

_MARK_AGAIN_SECONDS = 1.0


class AlertLoop:
    """Of one replica. `alerts` are the settings, None while there are none; `deliver` raises
    DeliveryFailed; `clock` is epoch seconds; `chance` is between 0 and 1.

    Raises ValueError: `interval_seconds` is too long for the lease of a claim.
    """

    def __init__(  # noqa: PLR0913 - what it stands on, each once
        self,
        readings: Readings,
        policy: Callable[[], Snapshot],
        alerts: Callable[[], Alerts | None],
        store: AlertStore,
        deliver: Deliver,
        *,
        metrics: AlertMetrics,
        clock: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
        interval_seconds: float = 30.0,
    ) -> None:
        if 2 * interval_seconds > LEASE_SECONDS:
            raise ValueError(f"alerts are checked every {LEASE_SECONDS / 2:g} seconds at least")
        self._readings, self._policy, self._alerts = readings, policy, alerts
        self._store, self._deliver, self._metrics = store, deliver, metrics
        self._clock, self._chance, self._interval = clock, chance, interval_seconds
        self._spikes = SpikeWatch(readings)
        self._told: dict[tuple[str, int], int] = {}  # (identity, percent) → spent when told
        self._unmarked: list[Alert] = []  # delivered, and Redis does not know it yet
        self._failures: dict[str, int] = {}  # identity → deliveries that failed
        self._failed_in_a_row = 0
        self._paused_until = 0.0
        self._redis_was_away = False
        self._check_trouble = Trouble(log, "alerts cannot be checked", "alerts are checked again")
        self._webhook_trouble = Trouble(log, "alerts are not delivered", "alerts are delivered")

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; a delivery that is under way is finished."""
        while not stop.is_set():
            await self.check(stop)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), self.seconds_to_next())

    def seconds_to_next(self) -> float:
        """When to check next: after the interval, or sooner where something is to be repeated."""
        if self._unmarked:
            return min(_MARK_AGAIN_SECONDS, self._interval)
        paused = self._paused_until - self._clock()
        return min(paused, self._interval) if paused > 0 else self._interval

    async def check(self, stop: asyncio.Event | None = None) -> None:
        """Look once, and tell what is new. Raises nothing: what fails is logged and counted."""
        try:
            await self._check(stop or asyncio.Event())
        except LedgerUnavailable as error:
            self._redis_was_away = True
            self._metrics.check_failures.inc()
            self._check_trouble.seen(str(error), kind="redis")
        except Exception as error:
            # Whatever it is, the next check may go well; a loop that has ended would tell nobody.
            self._metrics.check_failures.inc()
            self._check_trouble.seen(type(error).__name__, exc_info=True)
        else:
            self._check_trouble.over()

    async def _check(self, stop: asyncio.Event) -> None:
        await self._mark_delivered()
        settings = self._alerts()
        if settings is None:
            self._metrics.pending.set(0)
            self._metrics.last_check.set(0)
            return
        snapshot = self._policy()
        due = await self._due(snapshot, settings)
        self._metrics.last_check.set(self._clock())
        self._forget(due)
        waiting = sorted((each for each in due if not self._is_told(each)), key=self._turn)
        if not self._redis_was_away:
            await self._tell(snapshot, settings, waiting, stop)
        self._redis_was_away = False
        self._metrics.pending.set(sum(not self._is_told(each) for each in waiting))

    async def _due(self, snapshot: Snapshot, settings: Alerts) -> list[Alert]:
        scopes = await self._readings.watched(snapshot)
        spikes = await self._spikes.alerts(snapshot, settings, scopes, self._clock())
        return [*crossed_budgets(scopes, settings.budget_percent), *spikes]

    def _is_told(self, alert: Alert) -> bool:
        return self._told.get((alert.identity, alert.percent), -1) >= alert.threshold

    def _turn(self, alert: Alert) -> int:
        # One that the receiver always refuses keeps no other waiting.
        return self._failures.get(alert.identity, 0)

    def _forget(self, due: list[Alert]) -> None:
        now = {alert.identity for alert in due} | {alert.identity for alert in self._unmarked}
        self._told = {key: spent for key, spent in self._told.items() if key[0] in now}
        for identity in self._failures.keys() - now:
            del self._failures[identity]
            log.warning(
                "an alert was never delivered, and is no longer true: its period is over, or the "
                "budget was raised",
                extra={"fields": {"alert": identity}},
            )

    async def _tell(
        self, snapshot: Snapshot, settings: Alerts, waiting: list[Alert], stop: asyncio.Event
    ) -> None:
        for alert in waiting:
            if stop.is_set() or self._clock() < self._paused_until:
                return
            answer = await self._store.claim(alert)
            if answer == "told":
                self._remember(alert)
            elif answer == "claimed":
                await self._deliver_one(snapshot, settings.webhook, alert)

    async def _deliver_one(self, snapshot: Snapshot, webhook: Secret, alert: Alert) -> None:
        tops = await details(self._readings, snapshot, alert)
        try:
            await self._deliver(webhook, message(alert, snapshot.org.time_zone, tops))
        except DeliveryFailed as failure:
            await self._postpone(alert, failure)
            return
        self._metrics.sent.labels(alert.kind).inc()
        self._failed_in_a_row = 0
        self._failures.pop(alert.identity, None)
        self._webhook_trouble.over()
        self._remember(alert)
        self._unmarked.append(alert)
        await self._mark_delivered()

    async def _postpone(self, alert: Alert, failure: DeliveryFailed) -> None:
        self._metrics.failed.labels(alert.kind).inc()
        self._webhook_trouble.seen(str(failure))
        self._failed_in_a_row += 1
        self._failures[alert.identity] = self._failures.get(alert.identity, 0) + 1
        wait = wait_seconds(self._failed_in_a_row, failure.retry_after, self._chance())
        try:
            await self._store.postpone(alert, wait)
        finally:
            # Counted from here, so that Redis agrees that it is over.
            self._paused_until = self._clock() + wait

    def _remember(self, alert: Alert) -> None:
        self._failures.pop(alert.identity, None)
        for percent in (alert.percent, *alert.lower):
            self._told[alert.identity, percent] = alert.spent

    async def _mark_delivered(self) -> None:
        while self._unmarked:
            await self._store.mark(self._unmarked[0])
            del self._unmarked[0]
