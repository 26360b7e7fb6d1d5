"""A flushed store, a clock that stands still, and a ledger on both."""

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from ratelimit_service.ledger.ledger import Ledger
from ratelimit_service.ledger.store import open_redis
from tests.ledger.builders import PATIENT, FakeClock
from tests.support.redis import redis_process, redis_url

__all__ = ["redis_process", "redis_url"]


@pytest.fixture
async def store(redis_url: str) -> AsyncIterator[Redis]:
    """A client of an empty store, to look at what the ledger has written."""
    async with open_redis(redis_url, timeout_seconds=PATIENT) as client:
        await client.flushall()
        yield client


@pytest.fixture
def clock() -> FakeClock:
    """Noon of 24 November 2026, UTC."""
    return FakeClock()


@pytest.fixture
async def ledger(store: Redis, redis_url: str, clock: FakeClock) -> AsyncIterator[Ledger]:
    """A ledger on the empty store whose time is `clock`."""
    client = open_redis(redis_url, timeout_seconds=PATIENT)
    ledger = Ledger(client, timeout_seconds=PATIENT, clock=clock)
    yield ledger
    await ledger.close()
