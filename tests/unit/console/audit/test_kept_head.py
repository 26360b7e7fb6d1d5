"""The head of the audit log in Redis."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from redis import Redis

from console.audit.errors import Unreadable
from console.audit.kept_head import KEY, KeptHead
from console.audit.record import Head
from tests.support.redis import RedisProcess


@pytest.fixture
def kept(redis_url: str) -> KeptHead:
    with Redis.from_url(redis_url) as redis:
        redis.flushall()
    return KeptHead(redis_url)


def head(seq: int) -> Head:
    return Head(seq, f"{seq:064x}")


def test_where_none_was_kept_there_is_none(kept: KeptHead) -> None:
    assert kept.read() is None


def test_the_newest_head_stays_in_whatever_order_they_come(kept: KeptHead) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(kept.advance, map(head, [3, 1, 40, 2, 39, 7])))
    kept.advance(Head(40, "a" * 64))
    assert kept.read() == head(40)


def test_in_a_cluster_it_is_kept_too(redis_cluster_url: str) -> None:
    kept = KeptHead(redis_cluster_url.replace("redis://", "redis+cluster://"))
    kept.advance(head(5))
    assert kept.read() == head(5)
    kept.close()


def test_what_is_no_head_is_said_to_be_none(kept: KeptHead, redis_url: str) -> None:
    with Redis.from_url(redis_url) as redis:
        redis.hset(KEY, "seq", "1")
    with pytest.raises(Unreadable, match="does not hold a seq and a hash"):
        kept.read()


def test_without_redis_it_cannot_be_read(redis_process: RedisProcess) -> None:
    kept = KeptHead(redis_process.url)
    redis_process.kill()
    with pytest.raises(Unreadable, match="Redis cannot be used"):
        kept.read()


def test_an_address_of_another_kind_is_refused_without_being_repeated() -> None:
    with pytest.raises(ValueError, match="must begin with redis://") as raised:
        KeptHead("http://user:pa55@host")
    assert "pa55" not in str(raised.value)
