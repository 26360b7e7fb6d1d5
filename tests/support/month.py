"""A month of use in a ledger, the same in every run: what pages look like when there is something
to see. It is written by the ledger itself, at moments of the past."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from zoneinfo import ZoneInfo

from ratelimit_service.claims import claimed_slots
from ratelimit_service.ledger.ids import new_reservation_id
from ratelimit_service.ledger.ledger import Ledger
from ratelimit_service.ledger.store import open_redis
from ratelimit_service.ledger.types import (
    COUNTED_ONLY,
    Refusals,
    Settlement,
    TakenUsage,
    UsageRow,
)
from tollhouse.money import Usage
from tollhouse.policy.compiled import Key, Snapshot

DAYS = 32
_PATIENT_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Habit:
    """What a key does on a working day: calls of a model, each of so many tokens."""

    key: str
    model: str
    calls: int
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Denied:
    """How often a key is refused on a working day."""

    key: str
    model: str
    code: str
    count: int


HABITS = (
    Habit("marketing-website-prod-1", "gpt4_limited", 60, 190_000, 62_000),
    Habit("marketing-website-prod-1", "internal-embeddings", 20, 400_000, 0),
    Habit("marketing-website-staging-1", "mistral_small", 9, 90_000, 30_000),
    Habit("research-notebooks-staging-1", "gpt4_standard", 14, 150_000, 26_000),
    Habit("research-evaluations-prod-1", "reasoning", 12, 260_000, 110_000),
    Habit("research-evaluations-prod-1", "claude_standard", 10, 240_000, 60_000),
    Habit("support-triage-prod-1", "mistral_small", 70, 160_000, 40_000),
    Habit("support-drafts-prod-1", "mistral_large", 26, 200_000, 110_000),
    Habit("support-drafts-prod-1", "llama_internal", 30, 300_000, 100_000),
    Habit("sales-call-notes-prod-1", "claude_fast", 24, 300_000, 70_000),
    Habit("sales-call-notes-prod-1", "claude_standard", 5, 200_000, 60_000),
    Habit("engineering-assistant-prod-1", "gpt4_standard", 40, 240_000, 60_000),
    Habit("engineering-assistant-prod-1", "claude_standard", 12, 200_000, 90_000),
    Habit("engineering-ci-staging-1", "gpt4_limited", 40, 120_000, 20_000),
)
DENIED = (
    Denied("marketing-website-prod-1", "gpt4_limited", "rate_limit_requests", 14),
    Denied("marketing-website-staging-1", "mistral_small", "model_not_allowed", 3),
    Denied("research-notebooks-staging-1", "gpt4_standard", "budget_exceeded", 2),
    Denied("research-evaluations-prod-1", "reasoning", "concurrency_limit", 9),
    Denied("support-triage-prod-1", "mistral_small", "rate_limit_tokens", 5),
    Denied("sales-call-notes-prod-1", "claude_fast", "budget_exceeded", 4),
    Denied("engineering-assistant-prod-1", "claude_standard", "rate_limit_requests", 6),
)
"""Of the example policy."""


async def write_month(redis_url: str, snapshot: Snapshot, now: datetime) -> int:
    """The month until `now`; how many calls it has."""
    chance = random.Random(20)  # noqa: S311 - the same in every run
    moments = [now - timedelta(days=back) for back in reversed(range(DAYS))]
    made = 0
    for moment in moments:
        redis = open_redis(redis_url, timeout_seconds=_PATIENT_SECONDS)
        micros = int(moment.timestamp() * 1_000_000)
        ledger = Ledger(redis, timeout_seconds=_PATIENT_SECONDS, clock=partial(int, micros))
        settlements = list(_day(snapshot, moment, chance, is_last=moment == moments[-1]))
        await ledger.settle_many(settlements)
        await ledger.count_refusals(list(_refusals(snapshot, moment, chance)))
        await ledger.close()
        made += len(settlements)
    return made


def _day(
    snapshot: Snapshot, moment: datetime, chance: random.Random, *, is_last: bool
) -> Iterator[Settlement]:
    for habit in HABITS:
        amount = habit.calls * _busy(moment) * chance.uniform(0.7, 1.3)
        if is_last and habit.key.startswith("support-drafts"):
            amount = habit.calls * 7.5  # an unusual day
        for _ in range(round(amount)):
            yield _settlement(snapshot, habit, moment, chance)


def _busy(moment: datetime) -> float:
    return 0.22 if moment.weekday() >= 5 else 1.0


def _settlement(
    snapshot: Snapshot, habit: Habit, moment: datetime, chance: random.Random
) -> Settlement:
    key, alias = snapshot.keys[habit.key], snapshot.aliases[habit.model]
    scale = chance.uniform(0.5, 1.5)
    used = Usage(
        int(habit.input_tokens * scale),
        int(habit.output_tokens * scale),
        int(habit.input_tokens * scale * 0.3) if chance.random() < 0.4 else 0,
    )
    slots = tuple(
        (
            part.slot,
            (*(s.scope for s in part.scopes), *(f"{n}{COUNTED_ONLY}" for n in part.counted)),
        )
        for part in claimed_slots(snapshot, key, alias)
    )
    return Settlement(
        new_reservation_id(int(moment.timestamp() * 1000)),
        slots,
        used.input_tokens + used.output_tokens,
        alias.price.cost(used) if alias.price else 0,
        snapshot.org.time_zone,
        _row(snapshot, key, habit.model),
        TakenUsage(
            used.input_tokens,
            used.output_tokens,
            used.cached_input_tokens,
            errors=int(chance.random() < 0.006),
        ),
    )


def _refusals(snapshot: Snapshot, moment: datetime, chance: random.Random) -> Iterator[Refusals]:
    day = moment.astimezone(ZoneInfo(snapshot.org.time_zone)).date().isoformat()
    for each in DENIED:
        count = round(each.count * _busy(moment) * chance.uniform(0, 2))
        if count:
            key = snapshot.keys[each.key]
            yield Refusals(key.team, _row(snapshot, key, each.model), day, each.code, count)


def _row(snapshot: Snapshot, key: Key, model: str) -> UsageRow:
    return UsageRow(key.project, key.id, model, snapshot.org.usage_retention_days)
