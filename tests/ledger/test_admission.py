"""What an admission takes, and what a refusal says."""

import asyncio

import pytest
from redis.asyncio import Redis

from ratelimit_service.ledger.ledger import Ledger
from ratelimit_service.ledger.periods import Periods
from ratelimit_service.ledger.types import (
    LARGEST_AMOUNT,
    Admitted,
    Claim,
    RefusalKind,
    Refused,
    ScopeState,
    SettleOutcome,
)
from tests.ledger.builders import (
    ALIAS,
    SCOPES,
    TEAM,
    FakeClock,
    claim,
    limit,
    settlement,
)
from tests.ledger.contents import contents, open_reservations
from tollhouse.policy.compiled import Limits


async def admitted(ledger: Ledger, asked: Claim) -> Admitted:
    answer = await ledger.admit(asked)
    assert isinstance(answer, Admitted)
    return answer


async def refused(ledger: Ledger, asked: Claim) -> Refused:
    answer = await ledger.admit(asked)
    assert isinstance(answer, Refused)
    return answer


async def test_an_admission_reports_every_scope_with_what_it_has_used(ledger: Ledger) -> None:
    limits = {"project": limit(requests=9, tokens=1_000, spend=5_000), "alias": limit(tokens=800)}
    await admitted(ledger, claim(limits, tokens=100, cost=30))

    states = (await admitted(ledger, claim(limits, tokens=200, cost=40))).states

    assert [(state.slot, state.scope) for state in states] == list(SCOPES.values())
    assert states[1] == ScopeState(
        slot=TEAM,
        scope="project:website",
        limits=limits["project"],
        periods=Periods("2026-11-24", "2026-W48", "2026-11"),
        requests_used=2,
        requests_reset_ms=62_000,
        tokens_used=300,
        tokens_reset_ms=62_000,
        requests_today=2,
        tokens_today=0,
        daily_spend=0,
        weekly_spend=0,
        monthly_spend=0,
        held_spend=70,
        held_tokens=300,
        running=2,
    )
    assert (states[4].tokens_used, states[4].limits) == (300, limits["alias"])


async def test_a_scope_without_a_limit_is_counted_so_that_a_later_limit_knows_the_past(
    ledger: Ledger,
) -> None:
    for _ in range(3):
        await admitted(ledger, claim(cost=10))

    answer = await refused(ledger, claim({"key": limit(requests=3)}))

    assert (answer.kind, answer.used, answer.limit) == (RefusalKind.REQUESTS, 3, 3)


@pytest.mark.parametrize("level", SCOPES)
@pytest.mark.parametrize(
    "limits", [limit(requests=2), limit(tokens=250), limit(spend=70)], ids=["rpm", "tpm", "spend"]
)
async def test_a_refused_claim_changes_no_counter_of_any_scope(
    ledger: Ledger, store: Redis, level: str, limits: Limits
) -> None:
    tight = {level: limits}
    for _ in range(2):
        await admitted(ledger, claim(tight, tokens=100, cost=30))
    before = await contents(store)

    await refused(ledger, claim(tight, tokens=100, cost=30))

    assert await contents(store) == before


@pytest.mark.parametrize("level", ["org", "alias"])
async def test_a_refusal_elsewhere_leaves_an_untouched_team_untouched(
    ledger: Ledger, store: Redis, level: str
) -> None:
    await refused(ledger, claim({level: limit(requests=0)}, tokens=5, cost=5))

    assert await contents(store) == {}


async def test_requests_are_checked_before_tokens_and_tokens_before_money(ledger: Ledger) -> None:
    kinds = []
    for limits in (limit(0, 0, 0), limit(1, 0, 0), limit(1, 1, 0)):
        kinds.append((await refused(ledger, claim({"team": limits}, tokens=1, cost=1))).kind)

    assert kinds == [RefusalKind.REQUESTS, RefusalKind.TOKENS, RefusalKind.BUDGET_EXCEEDED]


async def test_a_refusal_by_several_slots_is_that_of_the_first_with_the_states_of_all(
    ledger: Ledger,
) -> None:
    answer = await refused(
        ledger, claim({"alias": limit(requests=0), "team": limit(tokens=0)}, tokens=1)
    )

    assert (answer.slot, answer.scope, answer.kind) == (TEAM, "team", RefusalKind.TOKENS)
    assert {state.slot for state in answer.states} == {TEAM, ALIAS}


async def test_a_budget_in_use_by_reservations_only_can_be_retried(ledger: Ledger) -> None:
    limits = {"team": limit(spend=100)}
    first = claim(limits, cost=80)
    await admitted(ledger, first)

    answer = await refused(ledger, claim(limits, cost=30))

    assert (answer.kind, answer.used, answer.held) == (RefusalKind.BUDGET_RESERVED, 0, 80)
    assert answer.retry_after_ms == 1000
    await ledger.settle(settlement(first, cost=70))
    assert isinstance(await ledger.admit(claim(limits, cost=30)), Admitted)


async def test_a_spent_budget_says_when_its_month_ends(ledger: Ledger, clock: FakeClock) -> None:
    clock.set("2026-11-30T23:59:30+00:00")
    limits = {"team": limit(spend=100)}
    first = claim(limits, cost=80)
    await admitted(ledger, first)
    await ledger.settle(settlement(first, cost=80))

    answer = await refused(ledger, claim(limits, cost=30))

    assert (answer.kind, answer.used, answer.held) == (RefusalKind.BUDGET_EXCEEDED, 80, 0)
    assert answer.retry_after_ms == 30_000
    assert answer.resets_at == clock.second + 30


@pytest.mark.parametrize(
    ("limits", "kind"),
    [
        (limit(requests=0), RefusalKind.REQUESTS),
        (limit(tokens=99), RefusalKind.TOKENS),
        (limit(spend=999), RefusalKind.BUDGET_EXCEEDED),
    ],
)
async def test_a_claim_larger_than_its_limit_is_told_that_it_can_never_fit(
    ledger: Ledger, limits: Limits, kind: RefusalKind
) -> None:
    asked = claim({"key": limits}, tokens=100, cost=1_000)

    answer = await refused(ledger, asked)

    assert (answer.kind, answer.never, answer.retry_after_ms) == (kind, True, 0)


async def test_of_two_refusing_scopes_the_one_with_the_longer_wait_is_reported(
    ledger: Ledger, clock: FakeClock
) -> None:
    await admitted(ledger, claim(levels=["team"]))
    clock.advance(20)
    await admitted(ledger, claim(levels=["key"]))
    limits = {"team": limit(requests=1), "key": limit(requests=1)}

    answer = await refused(ledger, claim(limits, levels=["team", "key"]))

    assert (answer.scope, answer.retry_after_ms) == ("key:web-1", 62_000)


async def test_an_id_that_is_held_already_is_admitted_again_without_being_counted(
    ledger: Ledger, store: Redis
) -> None:
    asked = claim({"team": limit(requests=1)}, tokens=7, cost=9)
    first = await admitted(ledger, asked)
    before = await contents(store)

    assert await ledger.admit(asked) == first
    assert await contents(store) == before


async def test_a_withdrawn_admission_leaves_nothing_behind(ledger: Ledger, store: Redis) -> None:
    asked = claim(tokens=7, cost=9)
    await admitted(ledger, asked)

    await ledger.withdraw(asked)
    await ledger.withdraw(asked)

    assert await contents(store) == {}


async def test_a_withdrawn_admission_leaves_its_neighbours_in_place(
    ledger: Ledger, store: Redis, clock: FakeClock
) -> None:
    await admitted(ledger, claim(tokens=7, cost=9))
    before = await contents(store)
    asked, late = claim(tokens=20, cost=30), claim(tokens=40, cost=50)
    await admitted(ledger, asked)
    clock.advance(5)
    await admitted(ledger, late)

    await ledger.withdraw(late)
    await ledger.withdraw(asked)

    assert await contents(store) == before


@pytest.mark.parametrize("ticks", range(12))
async def test_a_caller_that_is_cancelled_while_it_waits_leaves_no_reservation(
    ledger: Ledger, store: Redis, ticks: int
) -> None:
    asked = [claim({"alias": limit(requests=3)}, cost=5) for _ in range(6)]
    asking = [asyncio.create_task(ledger.admit(each)) for each in asked]
    for _ in range(ticks):
        await asyncio.sleep(0)
    for task in asking:
        task.cancel()
    answers = await asyncio.gather(*asking, return_exceptions=True)
    await ledger.withdraw(claim())  # calls are served in order: this one after all of the above

    kept = {answer.reservation_id for answer in answers if isinstance(answer, Admitted)}
    assert await open_reservations(store) == kept


MANY, LARGE = 1_000, LARGEST_AMOUNT - 1  # together near 2**53, the largest exact double


async def test_amounts_near_the_largest_exact_double_stay_exact(ledger: Ledger) -> None:
    claims = [claim(cost=LARGE) for _ in range(MANY)]
    for each in claims[1:]:
        await admitted(ledger, each)
    states = (await admitted(ledger, claims[0])).states

    assert states[0].held_spend == MANY * LARGE
    for each in claims[:-1]:
        assert await ledger.settle(settlement(each, cost=LARGE + 1)) is SettleOutcome.SETTLED
    assert await ledger.spend(TEAM, "team", "2026-11") == ((MANY - 1) * (LARGE + 1), LARGE)


async def test_a_budget_near_the_largest_exact_double_is_kept_to_the_nano_dollar(
    ledger: Ledger,
) -> None:
    limits = {"team": limit(spend=MANY * LARGE + 1)}
    for _ in range(MANY):
        await admitted(ledger, claim(limits, cost=LARGE))

    assert isinstance(await ledger.admit(claim(limits, cost=2)), Refused)
    assert isinstance(await ledger.admit(claim(limits, cost=1)), Admitted)
