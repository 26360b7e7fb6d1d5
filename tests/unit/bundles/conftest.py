"""A site on the Redis of the whole run, and one on a Redis to hurt."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from tests.support.redis import (
    RedisProcess,
    redis_cluster,
    redis_cluster_url,
    redis_process,
    redis_url,
)
from tests.unit.bundles.builders import Site

__all__ = ["redis_cluster", "redis_cluster_url", "redis_process", "redis_url"]


@pytest.fixture
def site(redis_url: str, tmp_path: Path) -> Iterator[Site]:
    """Nothing is published yet."""
    with Redis.from_url(redis_url) as client:
        client.delete(*(f"th:{{policy}}:{name}" for name in ("current", "minted", "bundles")))
    site = Site(redis_url, tmp_path)
    yield site
    site.close()


@pytest.fixture
def fragile(redis_process: RedisProcess, tmp_path: Path) -> Iterator[Site]:
    """A site on `redis_process`."""
    site = Site(redis_process.url, tmp_path)
    yield site
    site.close()
