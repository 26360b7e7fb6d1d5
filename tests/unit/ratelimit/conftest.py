"""A ledger of the test's own on the Redis of the whole run, and one on a Redis to hurt."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from ratelimit_service.ledger.ledger import Ledger
from ratelimit_service.ledger.store import open_redis
from tests.ledger.builders import PATIENT, FakeClock
from tests.support.redis import RedisProcess, redis_process, redis_url

__all__ = ["redis_process", "redis_url"]


@pytest.fixture
def clock() -> FakeClock:
    """Now, standing still: reservation ids are made by the host's clock."""
    clock = FakeClock()
    clock.micros = time.time_ns() // 1_000
    return clock


@pytest.fixture
async def ledger(redis_url: str, clock: FakeClock) -> AsyncIterator[Ledger]:
    """An empty ledger: no other test uses its prefix."""
    client = open_redis(redis_url, timeout_seconds=PATIENT)
    ledger = Ledger(client, prefix=f"{uuid4().hex}:", timeout_seconds=PATIENT, clock=clock)
    yield ledger
    await ledger.close()


@pytest.fixture
async def fragile(redis_process: RedisProcess, clock: FakeClock) -> AsyncIterator[Ledger]:
    """A ledger with the production deadline and prefix, on `redis_process`."""
    ledger = Ledger(open_redis(redis_process.url), clock=clock)
    yield ledger
    await ledger.close()
