"""A ledger that tests fill, and the readings of it; both on a clock that stands still."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from console.reads.readings import Readings
from ratelimit_service.ledger.store import StoreClient
from tests.ledger.builders import PATIENT, FakeClock
from tests.ledger.conftest import clock, ledger, redis_cluster_url, redis_url, single_url, store
from tests.support.redis import redis_process

__all__ = [
    "clock",
    "ledger",
    "redis_cluster_url",
    "redis_process",
    "redis_url",
    "single_url",
    "store",
]


@pytest.fixture
async def readings(store: StoreClient, redis_url: str, clock: FakeClock) -> AsyncIterator[Readings]:
    """Of the same store, which is empty first."""
    readings = Readings(redis_url, PATIENT, clock=clock)
    yield readings
    await readings.close()
