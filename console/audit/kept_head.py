"""The head of the audit log in Redis, out of reach of whoever can rewrite the log's directory.

th:audit:head    HASH    seq, hash    of the last record
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from redis import Redis
from redis.cluster import RedisCluster
from redis.exceptions import RedisClusterException, RedisError

from console.audit.errors import Unreadable
from console.audit.head import checked
from console.audit.record import Head

KEY: Final = "th:audit:head"

_CLUSTER: Final = "+cluster://"
_SCHEMES: Final = ("redis", "rediss", "unix", "redis+cluster", "rediss+cluster")

# KEYS[1] the head; ARGV[1] seq, ARGV[2] hash. Returns 1 if it was newer than the one that is kept.
_ADVANCE: Final = """
if tonumber(ARGV[1]) <= tonumber(redis.call('HGET', KEYS[1], 'seq') or '0') then return 0 end
redis.call('HSET', KEYS[1], 'seq', ARGV[1], 'hash', ARGV[2])
return 1
"""


class KeptHead:
    """The head in one Redis. The client blocks; it may be used from any thread."""

    def __init__(self, url: str, *, timeout_seconds: float = 1.0) -> None:
        """`url` as `redis://`, `rediss://`, `unix://`, or with `+cluster` a Redis Cluster. Opens
        nothing yet. Raises ValueError for another kind of address, without repeating it."""
        if url.partition("://")[0] not in _SCHEMES:
            raise ValueError("the address of Redis must begin with redis://, rediss:// or unix://")
        self._url = url
        self._timeout = timeout_seconds
        self._opened: Any = None

    def advance(self, head: Head) -> None:
        """Keep this head, if it is newer than the one that is kept. Raises Unreadable."""
        with self._client() as redis:
            redis.eval(_ADVANCE, 1, KEY, str(head.seq), head.hash)

    def read(self) -> Head | None:
        """None where none is kept. Raises Unreadable."""
        with self._client() as redis:
            kept = redis.hgetall(KEY)
        if not kept:
            return None
        try:
            return checked(int(kept[b"seq"]), kept[b"hash"].decode())
        except (KeyError, ValueError):
            raise Unreadable(f"{KEY} in Redis does not hold a seq and a hash") from None

    def close(self) -> None:
        """Close the connections."""
        if self._opened is not None:
            self._opened.close()

    @contextmanager
    def _client(self) -> Iterator[Any]:
        try:
            if self._opened is None:
                self._opened = self._open()
            yield self._opened
        except (RedisError, RedisClusterException, OSError) as error:
            raise Unreadable(f"Redis cannot be used ({type(error).__name__})") from None

    def _open(self) -> Any:
        options: dict[str, Any] = {
            "socket_timeout": self._timeout,
            "socket_connect_timeout": self._timeout,
        }
        if _CLUSTER in self._url:
            return RedisCluster.from_url(self._url.replace(_CLUSTER, "://", 1), **options)
        return Redis.from_url(self._url, **options)
