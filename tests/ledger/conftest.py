"""A flushed store, a clock that stands still, and a ledger on both."""

from collections.abc import AsyncIterator

import pytest

from ratelimit_service.ledger.ledger import Ledger
from ratelimit_service.ledger.store import StoreClient, open_redis
from tests.ledger.builders import PATIENT, FakeClock
from tests.support import redis as servers
from tests.support.redis import redis_cluster, redis_cluster_url, redis_process

__all__ = ["redis_cluster", "redis_cluster_url", "redis_process", "single_url"]

single_url = servers.redis_url


@pytest.fixture(scope="session", params=["single", "cluster"])
def redis_url(request: pytest.FixtureRequest) -> str:
    """Each test of the ledger runs on one server, and on a cluster of three."""
    url: str = request.getfixturevalue(
        "redis_cluster_url" if request.param == "cluster" else "single_url"
    )
    return url


@pytest.fixture
async def store(redis_url: str) -> AsyncIterator[StoreClient]:
    """A client of an empty store, to look at what the ledger has written."""
    async with open_redis(redis_url, timeout_seconds=PATIENT) as client:
        await client.flushall()
        yield client


@pytest.fixture
def clock() -> FakeClock:
    """Noon of 24 November 2026, UTC."""
    return FakeClock()


@pytest.fixture
async def ledger(store: StoreClient, redis_url: str, clock: FakeClock) -> AsyncIterator[Ledger]:
    """A ledger on the empty store whose time is `clock`."""
    client = open_redis(redis_url, timeout_seconds=PATIENT)
    ledger = Ledger(client, timeout_seconds=PATIENT, clock=clock)
    yield ledger
    await ledger.close()
