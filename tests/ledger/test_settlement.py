"""A reservation ends once: by settlement, by its lease, or by both in this order."""

import asyncio
from collections import Counter

import pytest
from redis.asyncio import Redis

from ratelimit_service.ledger.ids import new_reservation_id
from ratelimit_service.ledger.ledger import Ledger
from ratelimit_service.ledger.types import (
    Admitted,
    Claim,
    OnLost,
    RefusalKind,
    Refused,
    Settlement,
    SettleOutcome,
)
from tests.ledger.builders import ORG, SCOPES, TEAM, FakeClock, claim, limit, settlement
from tests.ledger.contents import contents, open_reservations

MONTH = "2026-11"


async def admit(ledger: Ledger, asked: Claim) -> Claim:
    assert isinstance(await ledger.admit(asked), Admitted)
    return asked


async def spends(ledger: Ledger) -> set[tuple[int, int]]:
    return {await ledger.spend(slot, scope, MONTH) for slot, scope in SCOPES.values()}


async def tokens_used(ledger: Ledger) -> int:
    answer = await ledger.admit(claim({"team": limit(requests=0)}, levels=["team"]))
    assert isinstance(answer, Refused)
    return answer.states[0].tokens_used


async def test_a_settlement_replaces_the_reservation_at_every_scope(ledger: Ledger) -> None:
    asked = await admit(ledger, claim(tokens=500, cost=1_000))
    assert await spends(ledger) == {(0, 1_000)}

    outcome = await ledger.settle(settlement(asked, tokens=120, cost=300))

    assert outcome is SettleOutcome.SETTLED
    assert await spends(ledger) == {(300, 0)}
    assert await tokens_used(ledger) == 120


async def test_a_settlement_may_take_more_than_was_reserved(ledger: Ledger) -> None:
    asked = await admit(ledger, claim(tokens=500, cost=1_000))

    await ledger.settle(settlement(asked, tokens=700, cost=1_500))

    assert await spends(ledger) == {(1_500, 0)}
    assert await tokens_used(ledger) == 700


async def test_tokens_that_have_left_the_window_are_not_corrected(
    ledger: Ledger, clock: FakeClock
) -> None:
    asked = await admit(ledger, claim(tokens=500))
    clock.advance(30)
    await admit(ledger, claim(tokens=40))
    clock.advance(32)
    assert await tokens_used(ledger) == 40

    await ledger.settle(settlement(asked, tokens=900))

    assert await tokens_used(ledger) == 40


async def test_a_settlement_that_arrives_many_times_at_once_charges_once(ledger: Ledger) -> None:
    asked = await admit(ledger, claim(cost=1_000))

    outcomes = await asyncio.gather(
        *(ledger.settle(settlement(asked, cost=300)) for _ in range(50))
    )

    assert Counter(outcomes) == {SettleOutcome.SETTLED: 1, SettleOutcome.DUPLICATE: 49}
    assert await spends(ledger) == {(300, 0)}


async def test_one_that_the_ledger_knew_nothing_of_is_charged_once_however_often_it_arrives(
    ledger: Ledger,
) -> None:
    asked = settlement(claim(cost=1_000), cost=300)

    outcomes = await asyncio.gather(*(ledger.settle(asked) for _ in range(50)))

    assert Counter(outcomes) == {SettleOutcome.UNKNOWN: 1, SettleOutcome.DUPLICATE: 49}
    assert await spends(ledger) == {(300, 0)}


async def test_many_settlements_in_one_call_answer_in_order(ledger: Ledger) -> None:
    claims = [await admit(ledger, claim(cost=10)) for _ in range(70)]
    settlements = [settlement(asked, cost=3) for asked in claims]
    await ledger.settle(settlements[40])

    outcomes = await ledger.settle_many(settlements)

    assert [at for at, each in enumerate(outcomes) if each is SettleOutcome.DUPLICATE] == [40]
    assert outcomes.count(SettleOutcome.SETTLED) == 69
    assert await spends(ledger) == {(210, 0)}


@pytest.mark.parametrize(("on_lost", "charged"), [("charge", 1_000), ("release", 0)])
async def test_a_lost_reservation_ends_with_its_lease_as_the_policy_says(
    ledger: Ledger, store: Redis, clock: FakeClock, on_lost: OnLost, charged: int
) -> None:
    await admit(ledger, claim(cost=1_000, lease_seconds=30, on_lost=on_lost))
    slots = {slot for slot, _ in SCOPES.values()}
    clock.advance(29.999)
    assert await ledger.sweep(slots) == 0

    clock.advance(0.001)

    assert await ledger.sweep(slots) == len(slots)
    assert await spends(ledger) == {(charged, 0)}
    assert await open_reservations(store) == set()


@pytest.mark.parametrize("on_lost", ["charge", "release"])
async def test_a_settlement_after_the_lease_corrects_the_charge_once(
    ledger: Ledger, clock: FakeClock, on_lost: OnLost
) -> None:
    asked = claim(tokens=500, cost=1_000, lease_seconds=30, on_lost=on_lost, id_ms=clock.millis)
    await admit(ledger, asked)
    clock.advance(31)
    await ledger.sweep({slot for slot, _ in SCOPES.values()})

    late = settlement(asked, tokens=120, cost=300)
    outcomes = [await ledger.settle(late), await ledger.settle(late)]

    assert outcomes == [SettleOutcome.CORRECTED, SettleOutcome.DUPLICATE]
    assert await spends(ledger) == {(300, 0)}
    assert await tokens_used(ledger) == 120


async def test_an_admission_ends_the_lost_reservations_in_its_way_sixteen_at_a_time(
    ledger: Ledger, store: Redis, clock: FakeClock
) -> None:
    limits = {"team": limit(spend=20)}
    for _ in range(20):
        await admit(
            ledger, claim(limits, levels=["team"], cost=1, lease_seconds=30, on_lost="release")
        )
    assert isinstance(await ledger.admit(claim(limits, levels=["team"], cost=5)), Refused)
    clock.advance(30)

    await admit(ledger, claim(limits, levels=["team"], cost=5))

    assert await ledger.spend(TEAM, "team", MONTH) == (0, 9)
    assert len(await open_reservations(store)) == 5


async def test_a_sweep_ends_more_than_one_script_call_does(
    ledger: Ledger, clock: FakeClock
) -> None:
    for _ in range(150):
        await admit(ledger, claim(levels=["org"], lease_seconds=1))
    clock.advance(2)

    assert await ledger.sweep([ORG, ORG]) == 150
    assert await ledger.sweep([ORG]) == 0


async def test_a_request_that_the_store_knows_nothing_of_is_charged_once(
    ledger: Ledger, store: Redis, clock: FakeClock
) -> None:
    asked = await admit(ledger, claim(tokens=500, cost=1_000, id_ms=clock.millis))
    await store.flushall()

    outcomes = [await ledger.settle(settlement(asked, tokens=120, cost=300)) for _ in range(3)]

    assert outcomes == [SettleOutcome.UNKNOWN, SettleOutcome.DUPLICATE, SettleOutcome.DUPLICATE]
    assert await spends(ledger) == {(300, 0)}


async def test_an_unknown_request_older_than_the_memory_of_settlements_is_not_charged(
    ledger: Ledger, clock: FakeClock
) -> None:
    three_days_ms = 3 * 86_400_000
    old = claim(cost=5, id_ms=clock.millis - three_days_ms - 1)
    recent = claim(cost=7, id_ms=clock.millis - three_days_ms)

    assert await ledger.settle(settlement(old, cost=5)) is SettleOutcome.TOO_OLD
    assert await ledger.settle(settlement(recent, cost=7)) is SettleOutcome.UNKNOWN
    assert await spends(ledger) == {(7, 0)}


async def test_what_one_slot_missed_is_made_up_by_settling_again(
    ledger: Ledger, clock: FakeClock
) -> None:
    asked = await admit(ledger, claim(cost=1_000, id_ms=clock.millis))
    whole = settlement(asked, cost=300)
    first_slot_only = Settlement(asked.reservation_id, whole.slots[:1], 0, 300, "UTC")
    await ledger.settle(first_slot_only)

    assert await ledger.settle(whole) is SettleOutcome.SETTLED
    assert await spends(ledger) == {(300, 0)}


async def test_a_settled_id_is_remembered_for_four_days_and_a_window_for_two_minutes(
    ledger: Ledger, store: Redis
) -> None:
    await ledger.settle(settlement(await admit(ledger, claim(cost=9)), cost=9))

    lifetimes = {name: await store.ttl(name) for name in await contents(store)}

    done = [ttl for name, ttl in lifetimes.items() if ":done:" in name]
    windows = [ttl for name, ttl in lifetimes.items() if ":win:" in name]
    assert len(done) == 3
    assert all(345_000 < ttl <= 345_600 for ttl in done)
    assert len(windows) == 5
    assert all(100 < ttl <= 120 for ttl in windows)


async def test_a_freed_budget_admits_again(ledger: Ledger) -> None:
    limits = {"key": limit(spend=1_000)}
    first = await admit(ledger, claim(limits, cost=1_000))
    answer = await ledger.admit(claim(limits, cost=700))
    assert isinstance(answer, Refused)
    assert answer.kind is RefusalKind.BUDGET_RESERVED

    await ledger.settle(settlement(first, cost=300))

    await admit(ledger, claim(limits, cost=700))


def test_a_malformed_claim_or_settlement_is_refused_before_it_reaches_the_store() -> None:
    fine = new_reservation_id()
    with pytest.raises(ValueError, match="reservation id"):
        Settlement("0" * 31 + "G", (), 0, 0, "UTC")
    with pytest.raises(ValueError, match="cost"):
        Settlement(fine, (), 0, 2**53, "UTC")
    with pytest.raises(ValueError, match="tokens"):
        Claim(fine, (), -1, 0, 60, "charge", "UTC")
    with pytest.raises(ValueError, match="name"):
        Settlement(fine, ((TEAM, ("key:a|b",)),), 0, 0, "UTC")


async def test_a_slot_that_was_noted_stays_noted(ledger: Ledger) -> None:
    assert set(await ledger.note_slots([TEAM, ORG])) == {TEAM, ORG}
    assert set(await ledger.note_slots([ORG])) == {TEAM, ORG}
