"""Looking at counters: it says what an admission says, and changes nothing."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from ratelimit_service.ledger.ledger import Ledger
from ratelimit_service.ledger.types import Admitted
from tests.ledger.builders import FakeClock, claim, settlement
from tests.ledger.contents import contents


@pytest.mark.parametrize("idle_seconds", [0, 30, 61.9])
async def test_what_is_shown_is_what_an_admission_would_count_and_looking_changes_nothing(
    ledger: Ledger, store: Redis, clock: FakeClock, idle_seconds: float
) -> None:
    for tokens in (10, 20, 30):
        ended = claim(tokens=tokens, cost=5, id_ms=clock.millis)
        await ledger.admit(ended)
        await ledger.settle(settlement(ended, tokens=tokens - 3, cost=4))
        clock.advance(7)
    asked = claim(tokens=40, cost=50)
    last = await ledger.admit(asked)
    assert isinstance(last, Admitted)
    before = await contents(store)

    shown = [state for part in asked.slots for state in await ledger.inspect(part, "UTC")]

    assert shown == list(last.states)
    clock.advance(idle_seconds)
    for part in asked.slots:
        await ledger.inspect(part, "UTC")
    assert await contents(store) == before


async def test_a_window_that_has_passed_is_shown_empty(ledger: Ledger, clock: FakeClock) -> None:
    asked = claim(tokens=40, cost=50)
    await ledger.admit(asked)
    clock.advance(62)

    state, *_ = await ledger.inspect(asked.slots[0], "UTC")

    assert (state.requests_used, state.tokens_used, state.requests_reset_ms) == (0, 0, 0)
    assert (state.requests_today, state.held_tokens, state.running) == (1, 40, 1)
