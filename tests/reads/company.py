"""A company of two teams for the tests of what the console reads, and calls of its keys."""

from __future__ import annotations

from pathlib import Path

from ratelimit_service.claims import bound, every_slot
from ratelimit_service.ledger.ids import new_reservation_id
from ratelimit_service.ledger.ledger import Ledger
from ratelimit_service.ledger.types import Admitted, Claim, TakenUsage
from ratelimit_service.size import RequestSize
from ratelimit_service.toll import claim, toll_of
from tests.ledger.builders import FakeClock, settlement
from tests.support.policy import write_tree
from tollhouse.policy.compiled import Snapshot
from tollhouse.policy.compiler import load_snapshot

ORG = """\
org: acme
time_zone: Europe/Berlin
owner: platform@acme.test
limits: {monthly_spend_usd: 100}
environments:
  prod: {limits: {daily_spend_usd: 90}}
  staging: {}
"""
PRICE = "{input_per_million: 1, output_per_million: 2, cached_input_per_million: 0.5}"
MODELS = f"""\
models:
  small: {{provider: openai, model: gpt-4o-mini, price: {PRICE}, max_output_tokens: 100}}
  large: {{provider: openai, model: gpt-4o, price: {PRICE}, max_output_tokens: 100}}
"""


def _key(key_id: str, digit: str, more: str) -> str:
    return f"      - {{id: {key_id}, sha256: {digit * 64}, {more}}}\n"


WEB = (
    """\
team: web
owner: web-leads@acme.test
limits: {monthly_spend_usd: 50, weekly_spend_usd: 20}
model_limits:
  small: {monthly_spend_usd: 30}
environments:
  prod: {limits: {tokens_per_day: 900000}}
projects:
  site:
    allowed_models: [small, large]
    limits: {requests_per_minute: 100}
    keys:
"""
    + _key(
        "web-1",
        "a",
        "env: prod, limits: {requests_per_minute: 10, tokens_per_minute: 60000, "
        "requests_per_day: 1000, max_parallel_requests: 5, daily_spend_usd: 5}, "
        "model_limits: {large: {requests_per_day: 7}}",
    )
    + _key("web-2", "b", "env: prod, model_limits: {small: {requests_per_day: 9}}")
    + """\
  shop:
    allowed_models: [small]
    keys:
"""
    + _key("web-3", "c", "env: staging")
)
OPS = """\
team: ops
projects:
  site:
    allowed_models: [small, large]
    keys:
""" + _key("ops-1", "d", "env: prod")


def company(folder: Path, **changed: str | None) -> Snapshot:
    """The policy, with some files changed as `write_tree` does."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {"org": ORG, "models": MODELS, "teams__web": WEB, "teams__ops": OPS, **changed}
    return load_snapshot(write_tree(folder, **files))


def claim_of(snapshot: Snapshot, clock: FakeClock, key_id: str, alias: str = "small") -> Claim:
    """A small call of a key, to be admitted now: 1100 tokens and 1,200,000 nano-dollars at most."""
    model = snapshot.aliases[alias]
    size = RequestSize("chat/completions", 1000, 0, None, 1)
    toll = toll_of(snapshot, snapshot.keys[key_id], model)
    return claim(
        toll,
        bound(toll.terms, size),
        reservation_id=new_reservation_id(clock.millis),
        request_id="",
        expected_cost=0,
    )


async def spend(
    ledger: Ledger,
    snapshot: Snapshot,
    clock: FakeClock,
    key_id: str,
    cost: int,
    *,
    alias: str = "small",
    usage: TakenUsage | None = None,
) -> None:
    """One call that is admitted and settled now, at `cost` nano-dollars."""
    asked = claim_of(snapshot, clock, key_id, alias)
    assert isinstance(await ledger.admit(asked), Admitted)
    taken = usage or TakenUsage(10, 5, 2)
    tokens = taken.input_tokens + taken.output_tokens
    await ledger.settle(settlement(asked, tokens=tokens, cost=cost, usage=taken))


async def charge(
    ledger: Ledger, snapshot: Snapshot, clock: FakeClock, key_id: str, cost: int
) -> None:
    """One call that nothing was reserved for (Redis was away), settled now: whatever is left."""
    asked = claim_of(snapshot, clock, key_id)
    taken = TakenUsage(10, 5, 2)
    await ledger.settle(settlement(asked, tokens=15, cost=cost, usage=taken))


async def note(ledger: Ledger, snapshot: Snapshot) -> None:
    """What the running service does every ten seconds."""
    await ledger.note_slots(every_slot(snapshot))
