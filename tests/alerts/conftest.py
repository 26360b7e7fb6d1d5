"""A filled ledger, a webhook, and alert loops on both; the clock stands still."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from console.alerts.loop import AlertLoop
from console.alerts.metrics import AlertMetrics
from console.alerts.store import AlertStore
from console.alerts.webhook import Webhook
from console.reads.readings import Readings
from ratelimit_service.ledger.store import StoreClient
from tests.alerts.receiver import Receiver, receiver
from tests.ledger.builders import PATIENT, FakeClock
from tests.reads.company import WEB, company
from tests.reads.conftest import (
    clock,
    ledger,
    readings,
    redis_cluster_url,
    redis_process,
    redis_url,
    single_url,
    store,
)
from tollhouse.policy.compiled import Secret, Snapshot
from tollhouse.policy.management import Alerts

__all__ = [
    "clock",
    "ledger",
    "readings",
    "redis_cluster_url",
    "redis_process",
    "redis_url",
    "single_url",
    "store",
]


@pytest.fixture
def snapshot(tmp_path: Path) -> Snapshot:
    """Without a budget of a single model, which every call to it would be told of, too."""
    limits = "model_limits:\n  small: {monthly_spend_usd: 30}\n"
    return company(tmp_path / "policy", teams__web=WEB.replace(limits, ""))


@pytest.fixture
def hook() -> Iterator[Receiver]:
    with receiver() as hook:
        yield hook


@pytest.fixture
def settings(tmp_path: Path, hook: Receiver) -> Alerts:
    """Whose webhook's URL is in a file."""
    path = tmp_path / "webhook"
    path.write_text(hook.url + "\n")
    return Alerts(Secret("file", str(path)), (50, 80, 100), 3.0, 20_000_000_000)


@dataclass
class World:
    """What the loops of a test look at; it may be changed between two checks."""

    snapshot: Snapshot
    settings: Alerts | None
    clock: FakeClock


@pytest.fixture
def world(snapshot: Snapshot, settings: Alerts, clock: FakeClock) -> World:
    return World(snapshot, settings, clock)


@dataclass
class Replica:
    """A loop, and what it shows."""

    loop: AlertLoop
    registry: CollectorRegistry
    store: AlertStore

    def value(self, name: str, kind: str | None = None) -> float | None:
        """A metric of `tollhouse_alerts_…`."""
        labels = {"kind": kind} if kind else {}
        return self.registry.get_sample_value(f"tollhouse_alerts_{name}", labels)


Starter = Callable[..., Replica]


@pytest.fixture
async def start(
    store: StoreClient, redis_url: str, world: World
) -> AsyncIterator[Callable[..., Replica]]:
    """Starts replicas, each with connections of its own."""
    opened: list[Readings | AlertStore] = []

    def start(
        url: str = redis_url, timeout_seconds: float = PATIENT, webhook_seconds: float = 5.0
    ) -> Replica:
        readings = Readings(url, timeout_seconds, clock=world.clock)
        alerts = AlertStore(url, timeout_seconds, clock=world.clock)
        opened.extend([readings, alerts])
        registry = CollectorRegistry()
        loop = AlertLoop(
            readings,
            lambda: world.snapshot,
            lambda: world.settings,
            alerts,
            Webhook(timeout_seconds=webhook_seconds),
            metrics=AlertMetrics(registry),
            clock=lambda: world.clock.micros / 1_000_000,
            chance=lambda: 1.0,
        )
        return Replica(loop, registry, alerts)

    yield start
    for each in opened:
        await each.close()
