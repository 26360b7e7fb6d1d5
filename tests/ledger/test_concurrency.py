"""However many ask at once, exactly as many as fit are admitted."""

import asyncio

import pytest

from ratelimit_service.ledger.ledger import Ledger
from ratelimit_service.ledger.store import open_redis
from ratelimit_service.ledger.types import (
    LARGEST_AMOUNT,
    Admitted,
    RefusalKind,
    Refused,
    SettleOutcome,
)
from tests.ledger.builders import PATIENT, SCOPES, TEAM, FakeClock, claim, limit, settlement
from tollhouse.policy.compiled import Limits

ASKED = 200
FITTING = 37
TOKENS, COST = 1_000, 2_500_000

# Each with a remainder that one more request would not fit into.
LIMITS = {
    RefusalKind.REQUESTS: limit(requests=FITTING),
    RefusalKind.TOKENS: limit(tokens=FITTING * TOKENS + TOKENS - 1),
    RefusalKind.BUDGET_RESERVED: limit(spend=FITTING * COST + COST - 1),
}


@pytest.mark.parametrize("level", SCOPES)
@pytest.mark.parametrize(("kind", "limits"), LIMITS.items())
async def test_exactly_as_many_of_200_concurrent_claims_pass_as_the_limit_has_room_for(
    ledger: Ledger, level: str, kind: RefusalKind, limits: Limits
) -> None:
    claims = [claim({level: limits}, tokens=TOKENS, cost=COST) for _ in range(ASKED)]

    answers = await asyncio.gather(*(ledger.admit(each) for each in claims))

    admitted = [each for each in answers if isinstance(each, Admitted)]
    refused = [each for each in answers if isinstance(each, Refused)]
    assert len(admitted) == FITTING
    assert {(each.kind, each.slot, each.scope) for each in refused} == {(kind, *SCOPES[level])}


async def test_the_sum_of_what_a_thousand_hostile_calls_hold_can_still_be_counted(
    ledger: Ledger, clock: FakeClock
) -> None:
    """HINCRBY fails beyond 64 bits, and would in the middle of a script."""
    hostile = [
        claim(tokens=LARGEST_AMOUNT, cost=LARGEST_AMOUNT, id_ms=clock.millis) for _ in range(1_100)
    ]
    await asyncio.gather(*(ledger.admit(each) for each in hostile))
    ended = [settlement(each, tokens=1, cost=1) for each in hostile]

    assert {await ledger.settle(each) for each in ended} == {SettleOutcome.SETTLED}
    assert await ledger.spend(TEAM, "team", "2026-11") == (1_100, 0)


async def test_what_the_refused_took_elsewhere_is_free_again(ledger: Ledger) -> None:
    narrow = {"alias": limit(requests=FITTING), "team": limit(requests=ASKED, spend=ASKED * COST)}
    await asyncio.gather(*(ledger.admit(claim(narrow, cost=COST)) for _ in range(ASKED)))

    wide = [claim(narrow, levels=("key", "project", "team"), cost=COST) for _ in range(ASKED)]
    answers = await asyncio.gather(*(ledger.admit(each) for each in wide))

    assert sum(isinstance(each, Admitted) for each in answers) == ASKED - FITTING


async def test_two_ledgers_on_one_store_share_a_limit(
    ledger: Ledger, redis_url: str, clock: FakeClock
) -> None:
    client = open_redis(redis_url, timeout_seconds=PATIENT)
    other = Ledger(client, timeout_seconds=PATIENT, clock=clock)
    claims = [claim({"team": limit(requests=FITTING)}) for _ in range(ASKED)]

    answers = await asyncio.gather(
        *((ledger, other)[at % 2].admit(each) for at, each in enumerate(claims))
    )
    await other.close()

    assert sum(isinstance(each, Admitted) for each in answers) == FITTING
