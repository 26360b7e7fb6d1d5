"""A limit that is set in the middle of a month knows what was spent before."""

from __future__ import annotations

from redis.asyncio import Redis

from ratelimit_service.ledger.ledger import Ledger
from ratelimit_service.ledger.types import (
    Claim,
    RefusalKind,
    Refused,
    ScopeClaim,
    SettleOutcome,
    SlotClaim,
)
from tests.ledger.builders import COUNTED, FakeClock, claim, settlement
from tests.ledger.contents import contents
from tollhouse.policy.compiled import Limits

OWN = ("key", "project", "team")


def unlimited(cost: int = 0, **more: object) -> Claim:
    """A claim that reserves in its team alone, and counts wherever else it may."""
    return claim(levels=OWN, counted=COUNTED, cost=cost, **more)  # type: ignore[arg-type]


def limited(limits: Limits, **more: object) -> Claim:
    """The next one: the same scopes, which are limited from now on."""
    asked = unlimited(**more)  # type: ignore[arg-type]
    parts = tuple(
        SlotClaim(part.slot, (*part.scopes, *(ScopeClaim(s, limits) for s in part.counted)))
        for part in asked.slots
    )
    return Claim(asked.reservation_id, parts, asked.tokens, asked.cost, 600, "charge", "UTC")


async def spend(ledger: Ledger) -> dict[str, int]:
    """What is settled in each scope that nothing was reserved in."""
    spent = {}
    for slot, scope in COUNTED.values():
        settled, held = await ledger.spend(slot, scope, "2026-11")
        assert held == 0
        spent[scope] = settled
    return spent


def each(amount: int) -> dict[str, int]:
    return {scope: amount for _, scope in COUNTED.values()}


async def test_a_budget_that_is_new_counts_what_was_spent_before(ledger: Ledger) -> None:
    for _ in range(3):
        asked = unlimited(cost=900)
        await ledger.admit(asked)
        assert await ledger.settle(settlement(asked, cost=300)) is SettleOutcome.SETTLED

    assert await spend(ledger) == each(900)
    refused = await ledger.admit(limited(Limits(monthly_spend_nanousd=1_000), cost=101))
    assert isinstance(refused, Refused)
    assert (refused.kind, refused.used) == (RefusalKind.BUDGET_EXCEEDED, 900)
    assert not isinstance(
        await ledger.admit(limited(Limits(monthly_spend_nanousd=1_000), cost=100)), Refused
    )


async def test_limits_of_the_day_that_are_new_count_its_requests_and_tokens(
    ledger: Ledger,
) -> None:
    for _ in range(3):
        asked = unlimited()
        await ledger.admit(asked)
        await ledger.settle(settlement(asked, tokens=50))

    by_requests = await ledger.admit(limited(Limits(requests_per_day=3)))
    by_tokens = await ledger.admit(limited(Limits(tokens_per_day=150), tokens=1))
    assert isinstance(by_requests, Refused)
    assert isinstance(by_tokens, Refused)
    assert (by_requests.used, by_tokens.used) == (3, 150)


async def test_it_counts_once_however_often_it_is_told(ledger: Ledger) -> None:
    asked = unlimited()
    await ledger.admit(asked)
    told = settlement(asked, cost=300)

    outcomes = [await ledger.settle(told) for _ in range(3)]

    assert outcomes == [SettleOutcome.SETTLED, SettleOutcome.DUPLICATE, SettleOutcome.DUPLICATE]
    assert await spend(ledger) == each(300)


async def test_what_only_the_team_has_heard_of_is_counted_elsewhere_later(ledger: Ledger) -> None:
    """The master of the org, say, was away."""
    asked = unlimited()
    await ledger.admit(asked)
    told = settlement(asked, cost=300)
    await ledger.settle(type(told)(told.reservation_id, told.slots[:1], 0, 300, "UTC", told.row))

    assert await ledger.settle(told) is SettleOutcome.COUNTED
    assert await spend(ledger) == each(300)


async def test_a_lost_call_counts_what_it_is_charged_and_its_late_entry_corrects_it(
    ledger: Ledger, clock: FakeClock
) -> None:
    asked = unlimited(cost=900, lease_seconds=60)
    await ledger.admit(asked)
    clock.advance(61)
    assert await ledger.sweep(part.slot for part in asked.slots) == 1
    in_team, *elsewhere = COUNTED.values()
    assert await ledger.spend(*in_team, "2026-11") == (900, 0)

    assert await ledger.settle(settlement(asked, cost=300)) is SettleOutcome.CORRECTED
    assert await spend(ledger) == each(300)
    assert len(elsewhere) == 2


async def test_what_is_given_back_leaves_nothing_behind(ledger: Ledger, store: Redis) -> None:
    asked = unlimited(cost=900)
    await ledger.admit(asked)
    await ledger.withdraw(asked)
    assert not [name for name in await contents(store) if "done" not in name]
