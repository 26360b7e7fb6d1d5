"""What counts while the store is away does what the store does, and begins where it ended."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ratelimit_service.ledger.ledger import Ledger
from ratelimit_service.ledger.stand_in import StandIn
from ratelimit_service.ledger.store import open_redis
from ratelimit_service.ledger.types import Admitted, Claim, Refused, Slot
from tests.ledger.builders import PATIENT, SCOPES, TEAM, FakeClock, claim, limit, settlement
from tests.ledger.test_model import costs, jumps, limits, tokens, where
from tollhouse.policy.compiled import Limits

steps = st.one_of(
    st.tuples(st.just("wait"), jumps),
    st.tuples(st.just("admit"), st.tuples(where, tokens, costs, st.integers(0, 200))),
    st.tuples(st.just("settle"), st.tuples(st.integers(0, 30), tokens, costs)),
)
given_limits = st.fixed_dictionaries(dict.fromkeys(SCOPES, limits))


async def both(
    url: str, limits: dict[str, Limits], course: list[tuple[str, object]]
) -> Counter[str]:
    """One course of steps on the store and on what stands in for it; every answer is the same."""
    clock = FakeClock()
    async with open_redis(url, timeout_seconds=PATIENT) as client:
        await client.flushall()
        ledger = Ledger(client, timeout_seconds=PATIENT, clock=clock)
        return await compare(ledger, StandIn(clock), clock, limits, course)


async def compare(
    ledger: Ledger,
    stand_in: StandIn,
    clock: FakeClock,
    limits: dict[str, Limits],
    course: list[tuple[str, object]],
) -> Counter[str]:
    seen: Counter[str] = Counter()
    admitted: list[Claim] = []
    for kind, what in course:
        seen[kind] += 1
        if kind == "wait":
            clock.micros += what  # type: ignore[operator]
        elif kind == "admit":
            asked = asked_for(limits, clock, what)  # type: ignore[misc]
            answer, here = await ledger.admit(asked), stand_in.admit(asked)
            if isinstance(answer, Admitted):
                assert here == replace(answer, births={})
                admitted.append(asked)
                seen["admitted"] += 1
            else:
                assert here == answer
                seen[answer.kind] += 1
        elif admitted:
            at, took, cost = what  # type: ignore[misc]
            ended = settlement(admitted.pop(at % len(admitted)), tokens=took, cost=cost)
            await ledger.settle(ended)
            stand_in.settle(ended)
    return seen


def asked_for(
    limits: dict[str, Limits], clock: FakeClock, what: tuple[tuple[str, ...], int, int, int]
) -> Claim:
    at, tokens, cost, lease = what
    return claim(
        limits,
        levels=at[0],
        # A slot that no call of this replica asks is not kept here, so nothing is counted in it.
        counted=[name for name in at[1] if name != "alias"],
        id_ms=clock.millis,
        tokens=tokens,
        cost=cost,
        expected_cost=cost // 3,
        lease_seconds=lease,
        time_zone="Europe/Berlin",
    )


def test_every_answer_is_the_one_that_the_store_gives(
    single_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: Counter[str] = Counter()

    @settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(given_limits, st.lists(steps, min_size=20, max_size=60))
    def one_course(limits: dict[str, Limits], course: list[tuple[str, object]]) -> None:
        seen.update(asyncio.run(both(single_url, limits, course)))

    one_course()
    with capsys.disabled():
        print(f"\nin memory as in Redis: {dict(seen)}")


@pytest.fixture
def stand_in(clock: FakeClock) -> StandIn:
    return StandIn(clock)


BUDGET = {"key": limit(spend=1_000)}


async def heard_of(ledger: Ledger, stand_in: StandIn, asked: Claim) -> None:
    """The store admits a claim, and its answer is heard."""
    answer = await ledger.admit(asked)
    assert isinstance(answer, Admitted)
    stand_in.hear(answer.states)


async def test_spend_that_the_store_told_of_counts_held_and_settled(
    ledger: Ledger, stand_in: StandIn
) -> None:
    settled = claim(BUDGET, cost=400)
    await ledger.admit(settled)
    await ledger.settle(settlement(settled, cost=300))
    await heard_of(ledger, stand_in, claim(BUDGET, cost=200))

    refused = stand_in.admit(claim(BUDGET, cost=501))
    assert isinstance(refused, Refused)
    assert (refused.used, refused.held) == (500, 0)
    assert isinstance(stand_in.admit(claim(BUDGET, cost=500)), Admitted)


async def test_requests_of_the_last_minute_count_until_they_leave_the_window(
    ledger: Ledger, stand_in: StandIn, clock: FakeClock
) -> None:
    limits = {"team": limit(requests=3, tokens=100)}
    for _ in range(2):
        await heard_of(ledger, stand_in, claim(limits, tokens=10))
    assert isinstance(stand_in.admit(claim(limits)), Admitted)
    assert isinstance(stand_in.admit(claim(limits)), Refused)
    clock.advance(62)
    assert isinstance(stand_in.admit(claim(limits, id_ms=clock.millis)), Admitted)


@pytest.mark.parametrize(
    ("limits", "next_period"),
    [
        (Limits(daily_spend_nanousd=10), "2026-11-25T00:00:00+00:00"),
        (Limits(requests_per_day=1), "2026-11-25T00:00:00+00:00"),
        (Limits(tokens_per_day=10), "2026-11-25T00:00:00+00:00"),
        (Limits(weekly_spend_nanousd=10), "2026-11-30T00:00:00+00:00"),
        (Limits(monthly_spend_nanousd=10), "2026-12-01T00:00:00+00:00"),
    ],
)
async def test_what_was_heard_counts_until_its_day_week_or_month_is_over(
    ledger: Ledger, stand_in: StandIn, clock: FakeClock, limits: Limits, next_period: str
) -> None:
    await heard_of(ledger, stand_in, claim({"team": limits}, tokens=10, cost=10))
    assert isinstance(stand_in.admit(claim({"team": limits}, tokens=1, cost=1)), Refused)

    clock.set(next_period)
    late = StandIn(clock)
    late._heard = stand_in._heard
    assert isinstance(late.admit(claim({"team": limits}, tokens=1, cost=1)), Admitted)


def test_a_call_that_ends_frees_its_place(stand_in: StandIn) -> None:
    limits = {"key": Limits(max_parallel_requests=1)}
    first = claim(limits)
    assert isinstance(stand_in.admit(first), Admitted)
    assert isinstance(stand_in.admit(claim(limits)), Refused)
    assert stand_in.admitted(first.reservation_id)
    stand_in.settle(settlement(first))
    assert not stand_in.admitted(first.reservation_id)
    assert isinstance(stand_in.admit(claim(limits)), Admitted)


def test_a_refusal_by_a_later_slot_takes_nothing_of_the_earlier_ones(stand_in: StandIn) -> None:
    limits = {"org": limit(requests=0), "team": limit(requests=1)}
    assert isinstance(stand_in.admit(claim(limits)), Refused)
    assert isinstance(stand_in.admit(claim(limits, levels=["team"])), Admitted)


async def test_a_slot_that_the_store_answers_for_again_is_forgotten_here(
    ledger: Ledger, stand_in: StandIn
) -> None:
    limits = {"team": limit(requests=2)}
    running = claim(limits, levels=["team"])
    assert isinstance(stand_in.admit(running), Admitted)
    assert isinstance(stand_in.admit(claim(limits, levels=["team"])), Admitted)

    await heard_of(ledger, stand_in, claim(limits, levels=["team"]))

    assert not stand_in.admitted(running.reservation_id)
    assert isinstance(stand_in.admit(claim(limits, levels=["team"])), Admitted)
    assert isinstance(stand_in.admit(claim(limits, levels=["team"])), Refused)


def test_other_slots_stay_as_they_are_when_one_is_heard_of(stand_in: StandIn) -> None:
    limits = {"alias": limit(requests=1), "team": limit(requests=1)}
    answer = stand_in.admit(claim(limits))
    assert isinstance(answer, Admitted)
    stand_in.hear(state for state in answer.states if state.slot == TEAM)
    refused = stand_in.admit(claim(limits, levels=["alias"]))
    assert isinstance(refused, Refused)
    assert refused.slot == Slot("alias", "openai/gpt4_limited@v1")
