"""The history of usage: per day, team, project, key and alias, for reports.

It is written by the scripts that settle, in the same step, so the costs of a day sum up to what
the team's budget counted on it. Refusals are counted as they are seen: they are not exactly-once.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from itertools import islice, product
from typing import cast

from ratelimit_service.ledger.daily import DailyUsage, daily_rows
from ratelimit_service.ledger.keys import slot_keys
from ratelimit_service.ledger.store import STORE_ERRORS, StoreClient, translated
from ratelimit_service.ledger.types import Slot

_READ_AT_ONCE = 256


async def usage(
    redis: StoreClient, team: str, days: Iterable[str], *, prefix: str = "th:"
) -> list[DailyUsage]:
    """The history of a team on `days`, each `YYYY-MM-DD`, in the order of days and names.

    Raises LedgerUnavailable.
    """
    batches = usage_of_teams(redis, [team], days, prefix=prefix)
    return [row async for rows in batches for row in rows]


async def usage_of_teams(
    redis: StoreClient,
    teams: Iterable[str],
    days: Iterable[str],
    *,
    prefix: str = "th:",
    timeout_seconds: float | None = None,
) -> AsyncIterator[list[DailyUsage]]:
    """The history of each team on each day, some hundred of these at a time, team by team.

    `timeout_seconds` is the deadline of each trip to the store. Raises LedgerUnavailable.
    """
    wanted = product(teams, days)
    while some := list(islice(wanted, _READ_AT_ONCE)):
        try:
            async with asyncio.timeout(timeout_seconds):
                stored = await _stored(redis, some, prefix)
        except STORE_ERRORS as error:
            raise translated(error) from error
        pairs = zip(some, stored, strict=True)
        yield [row for (team, day), each in pairs for row in daily_rows(day, team, each)]


async def noted_teams(
    redis: StoreClient, *, prefix: str = "th:", timeout_seconds: float | None = None
) -> list[str]:
    """Every team that was ever in use, by name, whatever the policy has now.

    Raises LedgerUnavailable.
    """
    try:
        async with asyncio.timeout(timeout_seconds):
            tags = await redis.smembers(f"{prefix}slots")
    except STORE_ERRORS as error:
        raise translated(error) from error
    slots = (Slot.from_tag(cast(bytes, tag).decode()) for tag in tags)
    return sorted(slot.name for slot in slots if slot.kind == "team")


async def _stored(
    redis: StoreClient, wanted: Iterable[tuple[str, str]], prefix: str
) -> list[Mapping[bytes, bytes]]:
    pipeline = redis.pipeline(transaction=False)
    for team, day in wanted:
        pipeline.hgetall(slot_keys(prefix, Slot("team", team)).counters("usage", day))
    return cast("list[Mapping[bytes, bytes]]", await pipeline.execute())
