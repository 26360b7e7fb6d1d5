"""The boundary to the Redis that carries bundles: its keys, its scripts, its errors.

All keys have one hash tag, so that a Redis Cluster keeps them in one place:

    th:{policy}:current   STRING  the serial in force
    th:{policy}:minted    STRING  the last serial given out
    th:{policy}:bundles   HASH    serial → bundle, of the last ten

The client blocks, and is called from threads: nothing of it may touch the loop that answers Envoy.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.exceptions import ConnectionError, RedisClusterException, RedisError
from redis.retry import Retry

from tollhouse.bundles.errors import PublishConflict, StoreUnavailable

KEPT = 10
"""How many bundles stay in Redis, to be shown and to go back to."""

REDIS_URL = "REDIS_URL"

_CURRENT, _MINTED, _BUNDLES = "th:{policy}:current", "th:{policy}:minted", "th:{policy}:bundles"
_CLUSTER = "+cluster://"
_SCHEMES = ("redis", "rediss", "unix", "redis+cluster", "rediss+cluster")
# What has no class of its own, or is wrapped in the error of a script, is known by its text.
_TELLING = re.compile(
    r"\b(OOM|READONLY|MISCONF|BUSY|CLUSTERDOWN|MASTERDOWN|TRYAGAIN|NOREPLICAS|NOPERM|WRONGTYPE)\b"
)
_SCRIPTS = Path(__file__).parent / "scripts"


def environment_url() -> str | None:
    """The address in the environment's REDIS_URL, if there is one."""
    return os.environ.get(REDIS_URL) or None


class BundleStore:
    """The bundles in one Redis. Every method raises StoreUnavailable."""

    def __init__(self, url: str, *, timeout_seconds: float) -> None:
        """`url` as `redis://`, `rediss://`, `unix://`, or with `+cluster` a Redis Cluster. Opens
        nothing yet. `timeout_seconds` bounds each step of a call: connecting, sending, receiving.

        Raises ValueError for another kind of address, without repeating it.
        """
        if url.partition("://")[0] not in _SCHEMES:
            raise ValueError(
                "the address of Redis must begin with redis://, rediss:// or unix://, "
                "or redis+cluster:// or rediss+cluster://"
            )
        self._url = url
        self._timeout = timeout_seconds
        self._opened: Any = None

    def serial(self) -> int:
        """The serial in force; 0 if there is none."""
        with self._client() as redis:
            return int(redis.get(_CURRENT) or 0)

    def newest(self) -> tuple[int, bytes | None]:
        """The serial in force, 0 if there is none, and its bundle if Redis has it."""
        with self._client() as redis:
            serial, sealed = redis.eval(_script("newest"), 2, _CURRENT, _BUNDLES)
        return int(serial or 0), sealed

    def mint(self) -> int:
        """A serial higher than all before it."""
        with self._client() as redis:
            return int(redis.eval(_script("mint"), 1, _MINTED))

    def put(self, serial: int, sealed: bytes, *, replacing: int | None = None) -> int:
        """Put a bundle in force; returns the serial it replaced, 0 for none.

        Raises PublishConflict: one with a higher serial is in force, or another one than
        `replacing`, where that is given.
        """
        meant = "" if replacing is None else str(replacing)
        arguments = (str(serial), sealed, meant, str(KEPT))
        with self._client() as redis:
            done, current = redis.eval(_script("put"), 2, _CURRENT, _BUNDLES, *arguments)
        if not done:
            raise PublishConflict(int(current), serial if replacing is None else replacing)
        return int(current)

    def kept(self) -> dict[int, bytes]:
        """The last bundles by serial, newest first."""
        with self._client() as redis:
            found = redis.hgetall(_BUNDLES)
        return dict(sorted(((int(serial), each) for serial, each in found.items()), reverse=True))

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
            raise StoreUnavailable(f"Redis cannot be used ({_kind(error)})") from None

    def _open(self) -> Any:
        options: dict[str, Any] = {
            "socket_timeout": self._timeout,
            "socket_connect_timeout": self._timeout,
            # A connection that a restart of Redis has cut is opened again, at once. A Redis that
            # hangs is not asked twice.
            "retry": Retry(NoBackoff(), 1, supported_errors=(ConnectionError,)),
        }
        if _CLUSTER in self._url:
            return RedisCluster.from_url(self._url.replace(_CLUSTER, "://", 1), **options)
        return Redis.from_url(self._url, **options)


def _kind(error: Exception) -> str:
    reason = _TELLING.search(str(error))
    return reason[0] if reason else type(error).__name__


@cache
def _script(name: str) -> str:
    return (_SCRIPTS / f"{name}.lua").read_text("utf-8")
