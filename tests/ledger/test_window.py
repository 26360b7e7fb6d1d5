"""The sliding window: never more than the limit in any 61 seconds, and never much memory."""

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from ratelimit_service.ledger.ledger import Ledger
from ratelimit_service.ledger.store import open_redis
from ratelimit_service.ledger.types import Admitted, Refused
from tests.ledger.builders import PATIENT, FakeClock, claim, limit
from tollhouse.policy.compiled import Limits

WINDOW = 61_000_000  # microseconds: a minute, and a second of travel to the provider
REQUESTS, TOKENS = 5, 60

gaps = st.one_of(
    st.integers(0, 999_999),
    st.integers(0, 90_000_000),
    st.sampled_from([1_000_000, 59_000_000, 59_999_999, 60_000_000, 60_000_001, 62_000_000]),
)
schedules = st.lists(st.tuples(gaps, st.integers(0, 40)), min_size=10, max_size=80)


async def admitted_in(url: str, schedule: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The (moment, tokens) of those of a schedule that were admitted."""
    clock = FakeClock()
    async with open_redis(url, timeout_seconds=PATIENT) as client:
        await client.flushall()
        ledger = Ledger(client, timeout_seconds=PATIENT, clock=clock)
        admitted = []
        for gap, tokens in schedule:
            clock.micros += gap
            asked = claim({"key": limit(REQUESTS, TOKENS)}, levels=["key"], tokens=tokens)
            if isinstance(await ledger.admit(asked), Admitted):
                admitted.append((clock.micros, tokens))
    return admitted


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(schedule=schedules)
def test_no_61_seconds_of_any_schedule_hold_more_than_the_limits(
    redis_url: str, schedule: list[tuple[int, int]]
) -> None:
    admitted = asyncio.run(admitted_in(redis_url, schedule))

    for start, _ in admitted:
        inside = [tokens for at, tokens in admitted if start <= at <= start + WINDOW]
        assert len(inside) <= REQUESTS
        assert sum(inside) <= TOKENS


@pytest.mark.parametrize("limits", [limit(requests=3), limit(tokens=30)], ids=["rpm", "tpm"])
async def test_the_retry_after_is_the_first_millisecond_that_has_room(
    ledger: Ledger, clock: FakeClock, limits: Limits
) -> None:
    for _ in range(3):
        asked = claim({"team": limits}, tokens=10)
        assert isinstance(await ledger.admit(asked), Admitted)
        clock.advance(7.3)
    again = claim({"team": limits}, tokens=10)
    answer = await ledger.admit(again)
    assert isinstance(answer, Refused)

    clock.advance(answer.retry_after_ms / 1000 - 0.001)
    assert isinstance(await ledger.admit(again), Refused)
    clock.advance(0.001)
    assert isinstance(await ledger.admit(again), Admitted)


async def test_a_large_claim_waits_until_enough_has_left(ledger: Ledger, clock: FakeClock) -> None:
    limits = {"team": limit(tokens=100)}
    for tokens in (10, 50, 40):
        assert isinstance(await ledger.admit(claim(limits, tokens=tokens)), Admitted)
        clock.advance(10)

    answer = await ledger.admit(claim(limits, tokens=55))

    assert isinstance(answer, Refused)
    assert answer.retry_after_ms == (10 + 62 - 30) * 1000


async def test_the_reset_is_when_the_window_is_empty_again(
    ledger: Ledger, clock: FakeClock
) -> None:
    clock.advance(0.25)
    await ledger.admit(claim(levels=["org"], tokens=5))
    clock.advance(1)
    answer = await ledger.admit(claim(levels=["org"], tokens=5))
    assert isinstance(answer, Admitted)
    assert answer.states[0].requests_reset_ms == answer.states[0].tokens_reset_ms == 61_750

    clock.advance(61.75)
    empty = await ledger.admit(claim({"org": limit(requests=0)}, levels=["org"]))

    assert isinstance(empty, Refused)
    state = empty.states[0]
    assert (state.requests_used, state.tokens_used) == (0, 0)
    assert (state.requests_reset_ms, state.tokens_reset_ms) == (0, 0)


async def test_a_window_stays_small_through_10_000_admissions_in_10_minutes(
    ledger: Ledger, store: Redis, clock: FakeClock
) -> None:
    largest = 0
    for _ in range(100):
        for _ in range(4):
            await asyncio.gather(
                *(ledger.admit(claim(levels=["team"], tokens=1)) for _ in range(25))
            )
            clock.advance(1.5)
        largest = max(largest, await store.hlen("th:{team:marketing}:win:team"))

    # Requests and tokens of 62 seconds; two sums; the oldest and the newest second.
    assert largest <= 62 * 2 + 4


async def test_a_clock_that_is_set_back_neither_forgets_nor_locks_out(
    ledger: Ledger, clock: FakeClock
) -> None:
    limits = {"team": limit(requests=3, tokens=30)}
    for _ in range(3):
        await ledger.admit(claim(limits, tokens=10))
        clock.advance(5)

    clock.advance(-3600)
    answer = await ledger.admit(claim(limits))
    assert isinstance(answer, Refused)
    assert (answer.used, answer.retry_after_ms) == (3, 62_000)
    clock.advance(62)
    assert isinstance(await ledger.admit(claim(limits, tokens=30)), Admitted)


async def test_the_stores_own_clock_is_used_when_none_is_given(
    store: Redis, redis_url: str
) -> None:
    ledger = Ledger(open_redis(redis_url, timeout_seconds=PATIENT), timeout_seconds=PATIENT)
    before, _ = await store.time()
    await ledger.admit(claim(levels=["team"]))
    await ledger.close()
    after, _ = await store.time()

    last = int(await store.hget("th:{team:marketing}:win:team", "last") or 0)
    assert before <= last <= after
