"""The boundary to Redis: opens a client, runs scripts, and turns its errors into the ledger's."""

import asyncio
import contextlib
import re
from collections.abc import Sequence
from typing import TypeAlias, TypeGuard

from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AskError,
    ClusterError,
    ConnectionError,
    MovedError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
    ResponseError,
    TimeoutError,
)

from ratelimit_service.ledger.errors import (
    LedgerClockError,
    LedgerError,
    LedgerMoving,
    LedgerUnavailable,
)
from ratelimit_service.ledger.scripts import ScriptCall

ClusterClient: TypeAlias = RedisCluster
StoreClient: TypeAlias = Redis | ClusterClient

_CLUSTER = "+cluster://"
# Each master of a cluster has a thousand slots or more out of 16384.
_TAGS_TRIED = 1000

STORE_ERRORS = (RedisError, RedisClusterException, OSError)
"""All that a client raises when a call fails; OSError covers timeouts and refused connections."""

_AWAY = (
    *(ConnectionError, TimeoutError, ClusterError, RedisClusterException, OSError),
    *(OutOfMemoryError, ReadOnlyError),
)
# What has no class of its own, or is wrapped in the error of a script, is known by its text.
_TELLING = re.compile(r"\b(CLOCK|OOM|READONLY|MISCONF|BUSY|CLUSTERDOWN|MASTERDOWN|NOREPLICAS)\b")
# Some keys of the slot are here and some are there: see the probe in scripts/prelude.lua.
_MOVING = re.compile(r"TRYAGAIN|non local key")


def open_redis(url: str, *, timeout_seconds: float = 0.25) -> StoreClient:
    """A client for one Redis or Valkey server at `redis://`, `rediss://` or `unix://`, or for the
    Redis Cluster of which `redis+cluster://` or `rediss+cluster://` names a node.

    It connects at the first call. A lost connection is opened again and the command repeated once;
    every script of the ledger may be repeated. Raises ValueError for another kind of address.
    """
    if _CLUSTER in url:
        # Its own retries close every connection, those to healthy nodes included.
        once = Retry(NoBackoff(), 0)
        return RedisCluster.from_url(
            url.replace(_CLUSTER, "://", 1),
            protocol=2,
            socket_timeout=timeout_seconds,
            socket_connect_timeout=timeout_seconds,
            retry=once,
        )
    client: Redis = Redis.from_url(
        url,
        protocol=2,
        socket_timeout=timeout_seconds,
        socket_connect_timeout=timeout_seconds,
        retry=Retry(NoBackoff(), 1),
    )
    return client


def sees_one_slot(client: StoreClient) -> TypeGuard[ClusterClient]:
    """Whether a script may only touch keys of one slot, as on a cluster."""
    return isinstance(client, RedisCluster)


async def places(client: ClusterClient, calls: Sequence[ScriptCall]) -> list[str]:
    """The node that each call goes to, by name.

    Raises one of STORE_ERRORS if no node can be asked.
    """
    await client.initialize()
    nodes = (client.get_node_from_key(call.keys[0]) for call in calls)
    return [node.name if node else "" for node in nodes]


async def probe(client: StoreClient, key: str, seconds: float) -> list[Exception | None]:
    """What stands in the way of a write on each master within so long, None where nothing does.

    The key is written there, on a cluster with a tag that puts it on the master.
    """
    keys = [key]
    if isinstance(client, RedisCluster):
        async with asyncio.timeout(seconds):
            await client.initialize()
        keys = _key_on_each_master(client, key)
    return list(await asyncio.gather(*(_write(client, each, seconds) for each in keys)))


async def _write(client: StoreClient, key: str, seconds: float) -> Exception | None:
    # In a pipeline: outside of one, a cluster's client closes all its connections when one fails.
    try:
        async with asyncio.timeout(seconds):
            pipeline = client.pipeline(transaction=False)
            pipeline.hset(key, "written", 1)
            (reply,) = await pipeline.execute(raise_on_error=False)
    except STORE_ERRORS as error:
        return error
    return reply if isinstance(reply, Exception) else None


def _key_on_each_master(client: RedisCluster, key: str) -> list[str]:
    keys: dict[str, str] = {}
    for number in range(_TAGS_TRIED):
        tagged = f"{key}:{{{number}}}"
        node = client.get_node_from_key(tagged)
        keys.setdefault(node.name if node else "", tagged)
        if len(keys) == len(client.get_primaries()):
            break
    return list(keys.values())


async def look_again(client: StoreClient, failure: Exception) -> None:
    """After a failure: learn what has moved, and leave what must not be used any longer."""
    if isinstance(client, RedisCluster):
        with contextlib.suppress(*STORE_ERRORS):
            await client.nodes_manager.initialize()
    elif "READONLY" in str(failure):  # a script's error has it in its text
        # A master that was demoted keeps its connections; behind its address there may be another.
        await client.connection_pool.disconnect(inuse_connections=False)


async def run_scripts(client: StoreClient, calls: Sequence[ScriptCall]) -> list[object]:
    """Run `calls` in one pipeline. The replies are in order; a failed call's reply is its error.

    Raises one of STORE_ERRORS if the pipeline as a whole fails.
    """
    replies = await _pipeline(client, "EVALSHA", calls)
    # A server that was restarted has forgotten the scripts, one that a slot has moved to may never
    # have heard them. EVAL teaches them again.
    anew = [at for at, reply in enumerate(replies) if isinstance(reply, NoScriptError | MovedError)]
    if any(isinstance(replies[at], MovedError) for at in anew) and isinstance(client, RedisCluster):
        await client.nodes_manager.initialize()
    if anew:
        again = await _pipeline(client, "EVAL", [calls[at] for at in anew])
        for at, reply in zip(anew, again, strict=True):
            replies[at] = reply
    return replies


async def _pipeline(client: StoreClient, command: str, calls: Sequence[ScriptCall]) -> list[object]:
    commands = [_command(command, call) for call in calls]
    if len(commands) == 1 and isinstance(client, Redis):
        return [await _alone(client, commands[0])]
    pipeline = client.pipeline(transaction=False)
    for each in commands:
        pipeline.execute_command(*each)
    # Redirections are not followed: a script that is sent to where a slot is moving (ASK) reads
    # counters that have not arrived as 0.
    once = {"allow_redirections": False} if isinstance(client, RedisCluster) else {}
    replies: list[object] = await pipeline.execute(raise_on_error=False, **once)
    return replies


def _command(command: str, call: ScriptCall) -> tuple[str | int, ...]:
    script = call.script.sha if command == "EVALSHA" else call.script.source
    return (command, script, len(call.keys), *call.keys, *call.args)


async def _alone(client: Redis, command: tuple[str | int, ...]) -> object:
    """What a pipeline of one command would, in four fifths of its time."""
    try:
        return await client.execute_command(*command)  # type: ignore[no-untyped-call]
    except ResponseError as error:
        return error


def is_outage(error: Exception) -> bool:
    """Whether a server could not answer, rather than would not, or not for this slot."""
    found = translated(error)
    return isinstance(found, LedgerUnavailable) and not isinstance(found, LedgerMoving)


def translated(error: Exception) -> LedgerError:
    """The ledger's error for one of the store's."""
    if isinstance(error, AskError) or _MOVING.search(str(error)):
        return LedgerMoving("the store is unavailable (the slot is moving)")
    if isinstance(error, _AWAY):
        return LedgerUnavailable(f"the store is unavailable ({type(error).__name__})")
    reason = _TELLING.search(str(error))
    if reason is None:
        return LedgerError(f"the store refused a call: {error}")
    if reason[0] == "CLOCK":
        return LedgerClockError("the store's clock is more than a day from ours")
    return LedgerUnavailable(f"the store is unavailable ({reason[0]})")
