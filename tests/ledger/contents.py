"""What is in the store, in a form that two moments can be compared in."""

from typing import Any

from redis.asyncio import Redis

Contents = dict[str, dict[str, str]]

# Where a window begins and ends in time. It says nothing about what is counted.
_TIMES = ("head", "last")


async def contents(store: Redis) -> Contents:
    """Every key with its fields; sorted sets as member to score. Timestamps of windows left out,
    and which slots there are, since when."""
    beside = (b":born", b":slots")
    names = [name async for name in store.scan_iter("*") if not name.endswith(beside)]
    pipeline = store.pipeline(transaction=False)
    for name in names:
        if name.endswith(b":leases"):
            pipeline.zrange(name, 0, -1, withscores=True)
        else:
            pipeline.hgetall(name)
    found = zip(names, await pipeline.execute(), strict=True)
    return {name.decode(): _readable(dict(fields)) for name, fields in found}


def _readable(fields: dict[bytes, Any]) -> dict[str, str]:
    texts = {
        name.decode(): value.decode() if isinstance(value, bytes) else str(value)
        for name, value in fields.items()
    }
    return {name: text for name, text in texts.items() if name not in _TIMES}


async def open_reservations(store: Redis) -> set[str]:
    """The ids of all reservations that are held, in any slot."""
    found = await contents(store)
    return {id_ for name, fields in found.items() if name.endswith(":holds") for id_ in fields}
