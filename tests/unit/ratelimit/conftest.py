"""A ledger of the test's own on the Redis of the whole run, and Redis servers to hurt."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from ratelimit_service.ledger.ledger import Ledger
from ratelimit_service.ledger.store import open_redis
from tests.support.redis import RedisProcess, redis_process, redis_url
from tests.unit.ratelimit.builders import PATIENT

__all__ = ["redis_process", "redis_url"]


@pytest.fixture
async def ledger(redis_url: str) -> AsyncIterator[Ledger]:
    """An empty ledger: no other test uses its prefix."""
    client = open_redis(redis_url, timeout_seconds=PATIENT)
    ledger = Ledger(client, prefix=f"{uuid4().hex}:", timeout_seconds=PATIENT)
    yield ledger
    await ledger.close()


@pytest.fixture
async def fragile(redis_process: RedisProcess) -> AsyncIterator[Ledger]:
    """A ledger with the production deadline, on `redis_process`."""
    ledger = Ledger(open_redis(redis_process.url))
    yield ledger
    await ledger.close()
