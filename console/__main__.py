"""Composition root of the console: policy, ledger, audit log, alerts, API and pages.

python -m console --policies policies --listen unix:/run/tollhouse/console.sock --state-dir DIR
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvloop
from prometheus_client import CollectorRegistry

from console import options
from console.alerts.loop import AlertLoop
from console.alerts.metrics import AlertMetrics
from console.alerts.store import AlertStore
from console.alerts.webhook import Webhook
from console.app import create_app
from console.audit.errors import AuditUnavailable
from console.build import build
from console.current import CurrentPolicy
from console.hosting import serve
from console.options import ConsoleOptions
from console.services import Services
from tollhouse.policy.management import Alerts
from tollhouse.policy.problems import PolicyError
from tollhouse.policy.watch import watch
from tollhouse.serving import logs
from tollhouse.serving.errors import ServiceError
from tollhouse.serving.policy import PolicyMetrics
from tollhouse.serving.readiness import Readiness

log = logging.getLogger("tollhouse.console")


async def run(chosen: ConsoleOptions) -> None:
    """Raises PolicyError when there is no good policy to start from; ServiceError."""
    registry = CollectorRegistry()
    policy_metrics = PolicyMetrics(registry)
    services = build(chosen, policy_metrics)
    try:
        async with (
            _following(services.current),
            _alerting(chosen, services, registry),
        ):
            app = create_app(services)
            document = policy_metrics.document
            await serve(chosen.shared, app, registry, Readiness(), document)
    finally:
        await services.readings.close()


@asynccontextmanager
async def _following(current: CurrentPolicy) -> AsyncIterator[None]:
    stop = asyncio.Event()
    task = asyncio.create_task(
        watch(current.holder, stop, on_success=current.loaded, on_failure=current.refused)
    )
    try:
        yield
    finally:
        stop.set()
        await task


@asynccontextmanager
async def _alerting(
    chosen: ConsoleOptions, services: Services, registry: CollectorRegistry
) -> AsyncIterator[None]:
    def alerts() -> Alerts | None:
        management = services.current.policy.snapshot.management
        return management.alerts if management else None

    store = AlertStore(chosen.redis_url)
    loop = AlertLoop(
        services.readings,
        lambda: services.current.policy.snapshot,
        alerts,
        store,
        Webhook(),
        metrics=AlertMetrics(registry),
    )
    stop = asyncio.Event()
    task = asyncio.create_task(loop.run(stop))
    try:
        yield
    finally:
        stop.set()
        await task
        await store.close()


def main() -> int:
    """The exit status."""
    chosen = options.parse()
    logs.configure(chosen.log_level)
    try:
        uvloop.run(run(chosen))
    except (AuditUnavailable, PolicyError, ServiceError) as error:
        print(f"console: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
