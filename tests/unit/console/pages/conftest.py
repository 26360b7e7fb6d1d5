"""The pages on a small tree, with a real Redis that has seen use."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from console.services import Services
from ratelimit_service.claims import claimed_slots
from ratelimit_service.ledger.ids import new_reservation_id
from ratelimit_service.ledger.ledger import Ledger
from ratelimit_service.ledger.store import open_redis
from ratelimit_service.ledger.types import Refusals, Settlement, TakenUsage, UsageRow
from tests.support import console
from tests.support.policy import SHA256, TREE, write_tree
from tests.support.redis import redis_url
from tests.unit.console.pages.visitor import Visitor, visiting
from tollhouse.policy.compiled import Snapshot
from tollhouse.policy.compiler import load_snapshot

__all__ = ["redis_url"]

WEB = f"""\
team: web
owner: web-leads@example.com
limits: {{monthly_spend_usd: 100, requests_per_minute: 600}}
projects:
  site:
    allowed_models: [small, "tag:cheap"]
    limits: {{monthly_spend_usd: 50}}
    keys:
      - id: web-1
        sha256: {SHA256}
        limits: {{requests_per_minute: 60, monthly_spend_usd: 20}}
        model_limits: {{small: {{requests_per_day: 100}}}}
        metadata: {{owner: "<b>ann</b>"}}
"""
OPS = """\
team: ops
projects:
  backup:
    allowed_models: [small]
    keys: []
"""
MODELS = TREE["models.yaml"] + "  team/spare: {provider: openai, model: gpt-4o-mini}\n"


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    """Teams web (project site, key web-1) and ops; models small and team/spare."""
    return write_tree(
        tmp_path / "policies",
        management=console.MANAGEMENT,
        teams__web=WEB,
        teams__ops=OPS,
        models=MODELS,
    )


@pytest.fixture
async def services(policies: Path, tmp_path: Path, redis_url: str) -> AsyncIterator[Services]:
    """Over a ledger in which web-1 has spent 12.34 USD today, and was refused three times."""
    await _use(redis_url, load_snapshot(policies))
    built = console.services(policies, tmp_path / "state", redis_url)
    yield built
    await built.readings.close()


@pytest.fixture
async def visitor(services: Services) -> AsyncIterator[Visitor]:
    async with visiting(services) as made:
        yield made


async def _use(redis_url: str, snapshot: Snapshot) -> None:
    redis = open_redis(redis_url, timeout_seconds=10)
    await redis.flushall()
    ledger = Ledger(redis, timeout_seconds=10)
    key = snapshot.keys["web-1"]
    row = UsageRow(key.project, key.id, "small", 400)
    slots = tuple(
        (part.slot, (*(each.scope for each in part.scopes), *(f"{name}~" for name in part.counted)))
        for part in claimed_slots(snapshot, key, snapshot.aliases["small"])
    )
    used = TakenUsage(input_tokens=1_200_000, output_tokens=34_000)
    spent = Settlement(new_reservation_id(), slots, 1_234_000, 12_340_000_000, "UTC", row, used)
    await ledger.settle(spent)
    day = (await ledger.inspect(claimed_slots(snapshot, key, snapshot.aliases["small"])[0], "UTC"))[
        0
    ]
    await ledger.count_refusals([Refusals("web", row, day.periods.day, "budget_exceeded", 3)])
    await ledger.close()
