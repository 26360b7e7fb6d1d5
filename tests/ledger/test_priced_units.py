"""A hard budget holds whatever a call is charged for: pictures, sound, cache writes, searches."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

from prometheus_client import CollectorRegistry

from ratelimit_service.admission import Admission, Limited, Reservation
from ratelimit_service.ledger.ledger import Ledger
from ratelimit_service.ledger.periods import periods_at
from ratelimit_service.ledger.types import Slot
from ratelimit_service.metrics import Metrics
from ratelimit_service.replica import Replica
from ratelimit_service.settlement import REPORTED, Entry, charge, settlement
from ratelimit_service.size import Call, RequestSize
from tests.ledger.builders import FakeClock
from tests.support.policy import KEY_ID, SHA256, write_tree
from tollhouse import endpoints
from tollhouse.money import COUNTS, Usage
from tollhouse.policy.compiled import Alias, Snapshot
from tollhouse.policy.source import PolicyDirectory
from tollhouse.policy.watch import PolicyHolder

BUDGET_USD = 2
MODELS = """\
models:
  painter:
    provider: openai
    model: painter
    endpoints: [images/generations]
    price: {per_image: {default: 0.08, standard 1024x1024: 0.04}}
  listener:
    provider: openai
    model: listener
    endpoints: [audio/transcriptions]
    price: {per_minute: 0.006}
  voice:
    provider: openai
    model: voice
    endpoints: [audio/speech]
    price: {per_million_characters: 30}
  ranker:
    provider: openai
    model: ranker
    endpoints: [rerank]
    price: {per_thousand_searches: 2, per_request: 0.001}
  writer:
    provider: openai
    model: writer
    max_output_tokens: 1000
    max_tokens_per_media: 3000
    price:
      input_per_million: 3
      output_per_million: 15
      cached_input_per_million: 0.3
      cache_write_per_million: 3.75
      cache_write_1h_per_million: 6
      input_audio_per_million: 40
      output_image_per_million: 60
      long_context: [{above_input_tokens: 4000, input_per_million: 6, output_per_million: 22.5}]
      service_tiers: {priority: {input_per_million: 6, output_per_million: 30}}
"""
TEAM = f"""\
team: web
limits: {{monthly_spend_usd: {BUDGET_USD}}}
projects:
  site:
    allowed_models: ["*"]
    keys:
    - {{id: {KEY_ID}, sha256: {SHA256}}}
"""
SIZES = {
    "painter": RequestSize(endpoints.IMAGES, 100, 0, None, 2, image_variant="standard 1024x1024"),
    "listener": RequestSize(endpoints.TRANSCRIPTIONS, 50, 0, None, 1, audio_bytes=750 * 300),
    "voice": RequestSize(endpoints.SPEECH, 1_500, 0, None, 1, characters=1_200),
    "ranker": RequestSize(endpoints.RERANK, 60_000, 0, None, 1, documents=250),
    "writer": RequestSize(
        endpoints.CHAT, 2_000, 1, 800, 1, cache_control=True, service_tier="priority"
    ),
}
INPUT_PARTS = ("input_audio_tokens", "cache_write_1h_tokens", "cache_write_tokens")


def taken(bound: Usage, dice: random.Random) -> Usage:
    """A call within its bound, often at it: the parts of a total do not overlap."""
    counts = {name: dice.choice([most, dice.randint(0, most)]) for name, most in _most(bound)}
    left = counts["input_tokens"]
    for part in INPUT_PARTS:
        counts[part] = min(counts[part], left)
        left -= counts[part]
    counts["output_image_tokens"] = min(counts["output_image_tokens"], counts["output_tokens"])
    counts["output_audio_tokens"] = 0
    tier = dice.choice([bound.service_tier, ""])
    return Usage(**counts, service_tier=tier, image_variant=bound.image_variant)


def _most(bound: Usage) -> list[tuple[str, int]]:
    # The Usage of a bound leaves parts out that cost no more than the rest.
    return [(name, getattr(bound, name)) for name in COUNTS]


class Office:
    """Admits and settles, and looks after each step whether the budget still holds."""

    def __init__(self, policies: Path, ledger: Ledger, clock: FakeClock) -> None:
        holder = PolicyHolder(PolicyDirectory(policies))
        self.snapshot: Snapshot = holder.current
        self._ledger, self._clock = ledger, clock
        metrics = Metrics(CollectorRegistry())
        self._admission = Admission(holder, ledger, metrics, Replica(), lambda _: None)
        self.highest = 0
        self.settled = 0

    async def call(self, alias: Alias, dice: random.Random) -> Reservation | Limited:
        outcome = await self._admission.admit(Call(KEY_ID, alias.name, SIZES[alias.name]))
        await self.look()
        if isinstance(outcome, Reservation):
            await self._settle(alias, outcome, taken(outcome.bound, dice))
        return outcome

    async def _settle(self, alias: Alias, reserved: Reservation, usage: Usage) -> None:
        entry = Entry(
            reservation_id=reserved.id,
            slots=reserved.slots,
            key_id=KEY_ID,
            team="web",
            project="site",
            alias=alias.name,
            usage=usage,
            usage_source=REPORTED,
            price=alias.price,
            reached_provider=True,
            reserved_cost=reserved.cost,
        )
        charged = charge(entry)
        assert charged.cost <= reserved.cost
        self.settled += charged.cost
        await self._ledger.settle(settlement(entry, charged, self.snapshot.org))
        await self.look()

    async def look(self) -> None:
        month = periods_at("UTC", self._clock.second).month
        spent, held = await self._ledger.spend(Slot("team", "web"), "team", month)
        self.highest = max(self.highest, spent + held)


async def test_a_hundred_calls_at_once_never_exceed_a_hard_budget_in_any_unit(
    tmp_path: Path, ledger: Ledger, clock: FakeClock
) -> None:
    policies = write_tree(tmp_path, models=MODELS, teams__web=TEAM)
    office, dice = Office(policies, ledger, clock), random.Random(7)  # noqa: S311 - reproducible
    aliases = [office.snapshot.aliases[name] for name in SIZES] * 20

    outcomes = await asyncio.gather(*(office.call(alias, dice) for alias in aliases))

    refused = [each for each in outcomes if isinstance(each, Limited)]
    assert 0 < len(refused) < len(aliases)
    assert 0 < office.settled <= office.highest <= BUDGET_USD * 10**9
    print(
        f"{len(aliases) - len(refused)} admitted, {office.highest} of {BUDGET_USD}e9 nano-dollars"
    )
