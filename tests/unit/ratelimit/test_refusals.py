"""Refusals on their way into the history, on a real Redis."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from ratelimit_service import refusals as refusals_module
from ratelimit_service.ledger.history import DailyUsage, usage
from ratelimit_service.ledger.ledger import Ledger
from ratelimit_service.ledger.store import open_redis
from ratelimit_service.refusals import RefusalCounter
from ratelimit_service.settlement import RefusedEntry
from tests.support.redis import RedisProcess
from tests.unit.ratelimit.builders import KEY_ID, STARTED, write_policy
from tollhouse.policy.source import PolicyDirectory
from tollhouse.policy.watch import PolicyHolder

DAY = "2026-11-24"


def refused(code: str, alias: str = "small", started_at: float = STARTED) -> RefusedEntry:
    return RefusedEntry(KEY_ID, "web", "site", alias, code, started_at)


def counter(directory: Path, ledger: Ledger, org_fields: str = "") -> RefusalCounter:
    holder = PolicyHolder(
        PolicyDirectory(write_policy(directory / "policies", org_fields=org_fields))
    )
    return RefusalCounter(holder, ledger)


async def history(url: str, day: str = DAY) -> list[DailyUsage]:
    async with open_redis(url) as client:
        return await usage(client, "web", [day])


async def test_refusals_are_counted_by_code_under_day_key_and_alias(
    tmp_path: Path, fragile: Ledger, redis_process: RedisProcess
) -> None:
    counted = counter(tmp_path, fragile)
    for code in ("rate_limit_requests", "rate_limit_requests", "budget_exceeded"):
        counted.take(refused(code))
    counted.take(refused("model_not_found", "-"))
    await counted.flush()
    counted.take(refused("budget_exceeded"))
    await counted.flush()
    nameless, small = await history(redis_process.url)
    assert (nameless.alias, nameless.refusals) == ("-", {"model_not_found": 1})
    assert small == DailyUsage(
        DAY,
        "web",
        "site",
        KEY_ID,
        "small",
        refusals={"rate_limit_requests": 2, "budget_exceeded": 2},
    )


async def test_a_refusal_counts_on_its_day_in_the_time_zone_of_the_policy(
    tmp_path: Path, fragile: Ledger, redis_process: RedisProcess
) -> None:
    counted = counter(tmp_path, fragile, "time_zone: Pacific/Kiritimati")  # UTC+14
    counted.take(refused("key_expired"))
    await counted.flush()
    assert await history(redis_process.url) == []
    assert len(await history(redis_process.url, "2026-11-25")) == 1


async def test_refusals_wait_while_redis_is_away_and_are_counted_when_it_is_back(
    tmp_path: Path, fragile: Ledger, redis_process: RedisProcess
) -> None:
    counted = counter(tmp_path, fragile)
    redis_process.kill()
    for _ in range(100):
        counted.take(refused("key_blocked"))
        await counted.flush()
    redis_process.start()
    async with asyncio.timeout(10):
        while counted.waiting:
            await counted.flush()
    (row,) = await history(redis_process.url)
    assert row.refusals == {"key_blocked": 100}


async def test_beyond_its_bound_no_new_kind_of_refusal_is_kept(
    tmp_path: Path, fragile: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusals_module, "_MOST_WAITING", 2)
    counted = counter(tmp_path, fragile)
    for alias in ("a", "b", "c", "a"):
        counted.take(refused("model_not_found", alias))
    assert counted.waiting == 2
