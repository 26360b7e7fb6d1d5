"""Admission on a real Redis: admitted, limited, a policy that was edited, a store that is away."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from ratelimit_service.admission import Admission, Limited, NotCounted, Reservation
from ratelimit_service.ledger.errors import LedgerUnavailable
from ratelimit_service.ledger.lane import ScriptLane
from ratelimit_service.ledger.ledger import Ledger
from ratelimit_service.ledger.scripts import ScriptCall, load_script
from ratelimit_service.ledger.store import open_redis
from ratelimit_service.ledger.types import Slot, Withdrawal
from ratelimit_service.metrics import Metrics
from ratelimit_service.replica import Replica
from ratelimit_service.size import Call
from tests.ledger.builders import FakeClock
from tests.support.redis import RedisProcess
from tests.unit.ratelimit.builders import (
    KEY_ID,
    UNLIMITED,
    claim_of,
    headers_of,
    sample,
    size,
    team_spend,
    until_spend,
    write_policy,
)
from tollhouse.money import Usage
from tollhouse.policy.source import PolicyDirectory
from tollhouse.policy.watch import PolicyHolder


@dataclass
class Desk:
    """An admission, what it counts, and what it gives back."""

    admission: Admission
    registry: CollectorRegistry
    given_back: list[Withdrawal] = field(default_factory=list)
    replica: Replica = field(default_factory=Replica)

    async def reserved(self, key_id: str = KEY_ID, **asked: int) -> Reservation:
        outcome = await self.admission.admit(Call(key_id, "small", size(**asked)))
        assert isinstance(outcome, Reservation)
        return outcome

    async def limited(self) -> Limited:
        outcome = await self.admission.admit(Call(KEY_ID, "small", size()))
        assert isinstance(outcome, Limited)
        return outcome

    def counted(self, decision: str) -> float:
        labels = {"decision": decision, "team": "web", "alias": "small"}
        return sample(self.registry, "tollhouse_admissions_total", **labels)

    def errors(self) -> float:
        return sample(self.registry, "tollhouse_redis_errors_total", operation="admit")

    def degraded(self) -> float:
        return sample(self.registry, "tollhouse_ledger_degraded")

    def timed(self) -> float:
        return sample(self.registry, "tollhouse_admission_duration_seconds_count")


def desk(policies: Path, ledger: Ledger) -> Desk:
    registry = CollectorRegistry()
    given_back: list[Withdrawal] = []
    holder = PolicyHolder(PolicyDirectory(policies))
    replica = Replica()
    admission = Admission(holder, ledger, Metrics(registry), replica, given_back.append)
    return Desk(admission, registry, given_back, replica)


def on_outage(directory: Path, choice: str) -> Path:
    return write_policy(directory, org_fields=f"on_store_outage: {choice}")


async def test_an_admitted_call_reserves_its_worst_case_in_the_slots_that_it_names(
    tmp_path: Path, ledger: Ledger, clock: FakeClock
) -> None:
    at = desk(write_policy(tmp_path, org="monthly_spend_usd: 1"), ledger)
    reservation = await at.reserved(text_bytes=2_000, max_tokens=10)
    assert (reservation.bound, reservation.cost) == (Usage(2_000, 10), 2_000 * 150 + 10 * 600)
    assert reservation.slots == (UNLIMITED[0], "org:acme|org", UNLIMITED[2])
    assert not reservation.degraded
    assert await team_spend(ledger, clock) == (0, reservation.cost)
    assert (at.counted("allowed"), at.timed()) == (1, 1)


async def test_every_admission_has_an_id_of_its_own(tmp_path: Path, ledger: Ledger) -> None:
    at = desk(write_policy(tmp_path), ledger)
    assert len({(await at.reserved()).id for _ in range(5)}) == 5


async def test_an_admitted_call_is_told_what_is_left(tmp_path: Path, ledger: Ledger) -> None:
    at = desk(write_policy(tmp_path, key="requests_per_minute: 5"), ledger)
    await at.reserved()
    headers = headers_of((await at.reserved()).headers)
    assert headers["x-ratelimit-limit-requests"] == "5"
    assert headers["x-ratelimit-remaining-requests"] == "3"


async def test_a_call_without_limits_is_told_of_none(tmp_path: Path, ledger: Ledger) -> None:
    assert (await desk(write_policy(tmp_path), ledger).reserved()).headers == []


@pytest.mark.parametrize(
    ("level", "scope", "owner"),
    [
        ("key", "key web-1", "web-leads"),
        ("project", "project site", "web-leads"),
        ("team", "team web", "web-leads"),
        ("org", "org acme", "acme-ops"),
        ("alias", "model small", "acme-ops"),
    ],
)
async def test_a_refusal_names_the_scope_of_the_limit_and_whoever_owns_it(
    tmp_path: Path, ledger: Ledger, level: str, scope: str, owner: str
) -> None:
    at = desk(write_policy(tmp_path, **{level: "requests_per_minute: 1"}), ledger)
    await at.reserved()
    limited = await at.limited()
    assert (limited.scope, limited.limit, limited.used) == (scope, 1, 1)
    assert limited.refusal.code == "rate_limit_requests"
    assert limited.refusal.message.startswith(f"Rate limit reached: {scope} may make 1 request")
    assert limited.refusal.message.endswith(f"Ask {owner} to raise it.")
    assert (at.counted("allowed"), at.counted("rate_limit_requests"), at.timed()) == (1, 1, 2)


@pytest.mark.parametrize(
    ("limit", "code", "need"),
    [
        # 100 bytes and 1000 tokens out: 1100 tokens, 615,000 nano-dollars.
        ("tokens_per_minute: 1099", "rate_limit_tokens", "up to 1100."),
        ("monthly_spend_usd: 0.000614999", "budget_exceeded", "up to $0.000615."),
    ],
)
async def test_a_refusal_says_how_much_the_call_would_have_reserved(
    tmp_path: Path, ledger: Ledger, limit: str, code: str, need: str
) -> None:
    refusal = (await desk(write_policy(tmp_path, team=limit), ledger).limited()).refusal
    assert refusal.code == code
    assert need in refusal.message


async def test_a_key_that_was_added_a_moment_ago_is_found_without_waiting_for_the_watch(
    tmp_path: Path, ledger: Ledger
) -> None:
    at = desk(write_policy(tmp_path), ledger)
    write_policy(tmp_path, key_id="web-2")
    in_team, *_ = (await at.reserved("web-2")).slots
    assert in_team.startswith("team:web|key:web-2,project:site,team,")


@pytest.mark.parametrize(("key_id", "alias"), [("stranger", "small"), (KEY_ID, "unheard-of")])
async def test_what_is_in_no_policy_is_not_counted_and_no_label_of_a_metric(
    tmp_path: Path, ledger: Ledger, key_id: str, alias: str
) -> None:
    at = desk(write_policy(tmp_path), ledger)
    with pytest.raises(NotCounted, match="have different policies"):
        await at.admission.admit(Call(key_id, alias, size()))
    (admissions,) = (one for one in at.registry.collect() if one.name == "tollhouse_admissions")
    assert admissions.samples == []
    assert at.timed() == 0


async def test_under_deny_a_call_that_cannot_be_counted_is_given_back_uncharged(
    tmp_path: Path, fragile: Ledger, redis_process: RedisProcess
) -> None:
    at = desk(on_outage(tmp_path / "policies", "deny"), fragile)
    redis_process.kill()
    with pytest.raises(NotCounted, match="the store is unavailable"):
        await at.reserved()
    (lost,) = at.given_back
    assert lost.slots == (Slot("team", "web"),)
    assert (at.errors(), at.degraded()) == (1, 1)
    assert (at.counted("ledger_unavailable"), at.counted("allowed")) == (1, 0)


async def test_a_reservation_that_redis_made_too_late_is_released_by_what_was_given_back(
    tmp_path: Path, fragile: Ledger, redis_process: RedisProcess, clock: FakeClock
) -> None:
    at = desk(on_outage(tmp_path / "policies", "deny"), fragile)
    in_time = (await at.reserved()).cost
    redis_process.send(signal.SIGSTOP)
    with pytest.raises(NotCounted):
        await at.reserved()
    redis_process.send(signal.SIGCONT)
    await until_spend(fragile, clock, (0, 2 * in_time))

    assert await fragile.withdraw_lost(at.given_back) == 1

    assert await team_spend(fragile, clock) == (0, in_time)


async def test_under_allow_an_outage_admits_and_the_answer_says_that_it_is_degraded(
    tmp_path: Path, fragile: Ledger, redis_process: RedisProcess
) -> None:
    at = desk(on_outage(tmp_path / "policies", "allow"), fragile)
    redis_process.kill()
    reservation = await at.reserved()
    assert reservation.degraded
    assert reservation.headers == [("x-tollhouse-degraded", "ledger")]
    assert (reservation.slots, reservation.bound) == (UNLIMITED, Usage(100, 1_000))
    assert (at.errors(), at.degraded(), at.counted("allowed")) == (1, 1, 1)
    assert at.given_back == []


async def test_an_outage_is_over_with_the_first_call_that_is_counted(
    tmp_path: Path, fragile: Ledger, redis_process: RedisProcess, clock: FakeClock
) -> None:
    at = desk(on_outage(tmp_path / "policies", "allow"), fragile)
    redis_process.kill()
    await at.reserved()
    redis_process.start()
    await until_spend(fragile, clock, (0, 0))
    await fragile.ping()  # as housekeeping does
    reservation = await at.reserved()
    assert (reservation.degraded, reservation.headers, at.degraded()) == (False, [], 0)


async def test_under_allow_limits_go_on_from_where_the_store_ended(
    tmp_path: Path, fragile: Ledger, redis_process: RedisProcess
) -> None:
    policies = write_policy(
        tmp_path / "policies", key="requests_per_minute: 3", org_fields="on_store_outage: allow"
    )
    at = desk(policies, fragile)
    await at.reserved()
    redis_process.kill()
    left = headers_of((await at.reserved()).headers)["x-ratelimit-remaining-requests"]
    assert left == "1"
    await at.reserved()

    limited = await at.limited()

    assert limited.refusal.code == "rate_limit_requests"
    assert ("x-tollhouse-degraded", "ledger") in limited.refusal.headers
    # Redis may have reserved it before it went away.
    (lost,) = at.given_back
    assert lost.slots == (Slot("team", "web"),)
    assert (at.counted("allowed"), at.counted("rate_limit_requests")) == (3, 1)


async def test_a_budget_holds_in_an_outage_too(
    tmp_path: Path, fragile: Ledger, redis_process: RedisProcess
) -> None:
    policies = write_policy(
        tmp_path / "policies", team="monthly_spend_usd: 0.002", org_fields="on_store_outage: allow"
    )
    at = desk(policies, fragile)
    await at.reserved()
    redis_process.kill()
    await at.reserved()
    await at.reserved()
    # 615,000 nano-dollars each: the fourth does not fit. The first was settled for all we know.
    assert (await at.limited()).refusal.code == "budget_reserved"


@pytest.mark.parametrize("choice", ["deny", "allow"])
async def test_a_ledger_that_came_back_empty_admits_only_where_the_policy_says_so(
    tmp_path: Path, fragile: Ledger, redis_process: RedisProcess, clock: FakeClock, choice: str
) -> None:
    at = desk(on_outage(tmp_path / "policies", choice), fragile)
    first = await at.reserved()
    async with open_redis(redis_process.url) as client:
        await client.flushall()
    clock.advance(0.001)
    if choice == "allow":
        assert not (await at.reserved()).degraded
        assert at.given_back == []
    else:
        with pytest.raises(NotCounted, match="Redis has lost the ledger of team:web"):
            await at.reserved()
        (lost,) = at.given_back
        assert lost.slots == (Slot("team", "web"),)
        assert lost.reservation_id != first.id
        assert await fragile.withdraw_lost([lost]) == 1
        assert (at.counted("ledger_unavailable"), at.counted("allowed")) == (1, 1)


@pytest.mark.parametrize("choice", ["deny", "allow"])
async def test_a_store_that_answers_nonsense_is_no_outage_and_admits_nobody(
    tmp_path: Path, fragile: Ledger, redis_process: RedisProcess, choice: str
) -> None:
    at = desk(on_outage(tmp_path / "policies", choice), fragile)
    async with open_redis(redis_process.url) as client:
        await client.set("th:{team:web}:held", "not a hash")
    with pytest.raises(NotCounted, match="the store refused a call"):
        await at.reserved()
    assert (at.counted("allowed"), at.degraded(), at.timed()) == (0, 0, 1)


@pytest.mark.parametrize(
    ("limits", "refused"),
    [
        ({"team": "daily_spend_usd: 5"}, True),
        ({"team": "daily_spend_usd: 5, budget_mode: soft"}, False),
        ({"team": "requests_per_minute: 5"}, False),
        ({"org": "weekly_spend_usd: 5"}, True),
    ],
)
async def test_what_no_tokens_bound_is_refused_where_a_hard_budget_applies_and_takes_nothing(
    tmp_path: Path, ledger: Ledger, clock: FakeClock, *, limits: dict[str, str], refused: bool
) -> None:
    at = desk(write_policy(tmp_path, **limits), ledger)
    searching = replace(size(), unbounded="web_search_options")

    outcome = await at.admission.admit(Call(KEY_ID, "small", searching))

    assert isinstance(outcome, Limited) is refused
    if isinstance(outcome, Limited):
        assert outcome.refusal.code == "parameter_not_allowed"
        assert outcome.refusal.param == "web_search_options"
        assert await team_spend(ledger, clock) == (0, 0)
        assert at.counted("parameter_not_allowed") == 1


@pytest.mark.parametrize(
    ("parameter", "passes"),
    [("tools", "type function and custom"), ("modalities", '"text"'), ("service_tier", "flex")],
)
async def test_a_refused_parameter_is_the_param_and_its_message_says_which_values_would_pass(
    tmp_path: Path, ledger: Ledger, *, parameter: str, passes: str
) -> None:
    at = desk(write_policy(tmp_path, team="daily_spend_usd: 5"), ledger)

    outcome = await at.admission.admit(Call(KEY_ID, "small", replace(size(), unbounded=parameter)))

    assert isinstance(outcome, Limited)
    assert outcome.refusal.param == parameter
    assert outcome.refusal.message.startswith(f"`{parameter}` can cost more")
    assert passes in outcome.refusal.message


async def test_a_call_beyond_what_the_ledger_counts_is_refused_and_takes_nothing(
    tmp_path: Path, ledger: Ledger, clock: FakeClock
) -> None:
    at = desk(write_policy(tmp_path), ledger)
    hostile = replace(size(), media_parts=2**52)

    outcome = await at.admission.admit(Call(KEY_ID, "small", hostile))

    assert isinstance(outcome, Limited)
    assert outcome.refusal.code == "parameter_not_allowed"
    assert "Send a smaller max_completion_tokens" in outcome.refusal.message
    assert await team_spend(ledger, clock) == (0, 0)


async def test_a_soft_budget_reserves_what_was_learned_of_such_calls(
    tmp_path: Path, ledger: Ledger, clock: FakeClock
) -> None:
    policies = write_policy(tmp_path, team="monthly_spend_usd: 5, budget_mode: soft")
    at = desk(policies, ledger)
    for _ in range(200):
        at.replica.expectation.learn(KEY_ID, "small", 1, 10)

    reservation = await at.reserved()

    _, held = await team_spend(ledger, clock)
    assert held == pytest.approx(reservation.cost / 10, rel=0.01)


async def test_a_caller_whose_last_call_has_just_ended_is_not_refused_for_it(
    tmp_path: Path, ledger: Ledger
) -> None:
    at = desk(write_policy(tmp_path, key="max_parallel_requests: 1"), ledger)
    snapshot = PolicyHolder(PolicyDirectory(tmp_path)).current
    running = claim_of(snapshot)
    await ledger.admit(running)
    asking = asyncio.create_task(at.reserved())
    await asyncio.sleep(0)
    await ledger.withdraw(running)
    assert await asking


async def test_what_a_refusal_could_not_give_back_is_given_to_the_settler(
    tmp_path: Path, fragile: Ledger, redis_process: RedisProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = desk(write_policy(tmp_path / "policies", alias="requests_per_minute: 1"), fragile)
    await at.reserved()
    monkeypatch.setattr(fragile, "_apart", True)  # as on a cluster
    run = ScriptLane.run

    async def die_before_the_withdrawal(lane: ScriptLane, calls: Sequence[ScriptCall]) -> Any:
        if calls[0].script is load_script("withdraw"):
            redis_process.kill()
        return await run(lane, calls)

    monkeypatch.setattr(ScriptLane, "run", die_before_the_withdrawal)
    limited = await at.limited()
    monkeypatch.undo()

    assert limited.scope == "model small"
    (lost,) = at.given_back
    assert lost.slots == (Slot("team", "web"),)
    redis_process.start()
    async with asyncio.timeout(10):
        while True:
            with contextlib.suppress(LedgerUnavailable):
                assert await fragile.withdraw_lost([lost]) == 1
                break
