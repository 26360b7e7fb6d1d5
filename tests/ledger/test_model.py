"""The ledger on a real Redis, step by step beside a model of it; Hypothesis chooses the steps."""

import asyncio
from collections import Counter
from collections.abc import Awaitable
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from redis.asyncio.cluster import RedisCluster

from ratelimit_service.ledger.errors import LedgerError
from ratelimit_service.ledger.ledger import Ledger
from ratelimit_service.ledger.store import open_redis
from ratelimit_service.ledger.types import (
    Admitted,
    Claim,
    OnLost,
    Refused,
    Settlement,
    Slot,
    TakenUsage,
    Withdrawal,
)
from tests.ledger.builders import PATIENT, ROW, SCOPES, FakeClock, claim, settlement
from tests.ledger.contents import Contents, contents
from tests.ledger.model import LedgerModel, Refusal, SlotModel
from tests.support.endings import Known, charged_when_lost, endings, known
from tollhouse.policy.compiled import Limits

BERLIN = "Europe/Berlin"
T = TypeVar("T")
DAY = 86_400_000_000  # microseconds

limits = st.builds(
    Limits,
    requests_per_minute=st.none() | st.integers(2, 20),
    tokens_per_minute=st.none() | st.integers(100, 1_200),
    requests_per_day=st.none() | st.integers(5, 60),
    tokens_per_day=st.none() | st.integers(300, 4_000),
    max_parallel_requests=st.none() | st.integers(1, 12),
    daily_spend_nanousd=st.none() | st.integers(200, 3_000),
    weekly_spend_nanousd=st.none() | st.integers(200, 5_000),
    monthly_spend_nanousd=st.none() | st.integers(250, 6_000),
    budget_mode=st.sampled_from(["hard", "soft"]),
)
tokens = st.integers(0, 120)
costs = st.integers(0, 300)
usages = st.builds(TakenUsage, *[st.integers(0, 500)] * 3, st.integers(0, 1))
jumps = st.one_of(
    st.integers(0, 1_500_000),
    st.integers(0, 70_000_000),
    st.sampled_from([60_000_000, 62_000_000, 3600_000_000, 30 * 3600_000_000, 12 * DAY]),
)
Where = tuple[tuple[str, ...], tuple[str, ...]]
where: st.SearchStrategy[Where] = st.sampled_from(
    [
        (tuple(SCOPES), ()),
        (tuple(SCOPES), ("team", "org")),
        (("key", "project", "team"), ("team", "org", "alias")),
        (("team", "alias"), ()),
        (("org",), ("alias", "org")),
    ]
)
"""The levels that a claim reserves in, and where it is counted beside them."""


class LedgerBesideItsModel(RuleBasedStateMachine):
    """Claims are kept in `asked`, so that any of them can be settled, again or withdrawn later."""

    url: str
    runner: asyncio.Runner
    seen: Counter[str]

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock("2026-10-31T21:30:00+01:00")
        self.model = LedgerModel()
        self.asked: list[Claim] = []
        self.client = open_redis(self.url, timeout_seconds=PATIENT)
        self.apart = isinstance(self.client, RedisCluster)
        self.ledger = Ledger(self.client, timeout_seconds=PATIENT, clock=self.clock)
        self.run(self.client.flushall())

    def run(self, work: Awaitable[T]) -> T:
        async def finish() -> T:
            return await work

        return self.runner.run(finish())

    def teardown(self) -> None:
        self.run(self.ledger.close())

    @initialize(limits=st.fixed_dictionaries(dict.fromkeys(SCOPES, limits)))
    def choose_limits(self, limits: dict[str, Limits]) -> None:
        self.limits = limits

    @rule(micros=jumps)
    def time_passes(self, micros: int) -> None:
        self.clock.micros += micros

    @rule(
        where=where,
        amounts=st.tuples(tokens, costs),
        lease=st.integers(0, 200),
        on_lost=st.sampled_from(["charge", "release"]),
        times=st.integers(1, 5),
    )
    def admit(
        self,
        where: Where,
        amounts: tuple[int, int],
        lease: int,
        on_lost: OnLost,
        times: int,
    ) -> None:
        for _ in range(times):
            self.compare_admission(self.ask(where, amounts, lease, on_lost))

    def ask(
        self, where: Where, amounts: tuple[int, int], lease: int, on_lost: OnLost = "charge"
    ) -> Claim:
        """A claim that was not made before."""
        asked = claim(
            self.limits,
            levels=where[0],
            counted=where[1],
            id_ms=self.clock.millis,
            tokens=amounts[0],
            cost=amounts[1],
            expected_cost=amounts[1] // 3,
            request_id=f"request-{len(self.asked)}",
            lease_seconds=lease,
            on_lost=on_lost,
            time_zone=BERLIN,
        )
        self.asked.append(asked)
        return asked

    # On a cluster the trips to its masters are not in step, so what one sees of another is open.
    @precondition(lambda self: not self.apart)
    @rule(
        asked=st.lists(
            st.tuples(where, st.tuples(tokens, costs), st.integers(0, 200)), min_size=2, max_size=6
        ),
        data=st.data(),
    )
    def admit_together(
        self, asked: list[tuple[Where, tuple[int, int], int]], data: st.DataObject
    ) -> None:
        claims = [self.ask(*each) for each in asked]
        claims.append(data.draw(st.sampled_from(self.asked)))
        expected = self.model.admit_together(claims, self.clock.micros, apart=False)
        answers = self.run(self.ask_at_once(claims))
        for told, answer in zip(expected, answers, strict=True):
            self.seen["together"] += 1
            if isinstance(told, tuple):
                self.compare_refusal(told, answer)
            else:
                assert isinstance(answer, LedgerError if told else Admitted)

    async def ask_at_once(self, claims: list[Claim]) -> list[Any]:
        """The answers to claims that one run of the script decides."""
        asking = (self.ledger.admit(each) for each in claims)
        return await asyncio.gather(*asking, return_exceptions=True)

    @precondition(lambda self: self.not_ended())
    @rule(data=st.data())
    def admit_again(self, data: st.DataObject) -> None:
        self.compare_admission(data.draw(st.sampled_from(self.not_ended())))

    def not_ended(self) -> list[Claim]:
        """The claims that nothing has ended: their ids are in use."""
        return [each for each in self.asked if not self.model.is_used_up(each)]

    @precondition(lambda self: any(map(self.model.is_used_up, self.asked)))
    @rule(data=st.data())
    def admit_what_was_given_up_before_it_came(self, data: st.DataObject) -> None:
        used_up = [each for each in self.asked if self.model.is_used_up(each)]
        self.clock.micros += 1_000_000
        self.compare_admission(data.draw(st.sampled_from(used_up)))

    def compare_admission(self, asked: Claim) -> None:
        expected = self.model.admit(asked, self.clock.micros)
        if isinstance(expected, str):
            self.seen[expected] += 1
            with pytest.raises(LedgerError, match="ENDED"):
                self.run(self.ledger.admit(asked))
            return
        answer = self.run(self.ledger.admit(asked))
        if expected is None:
            self.seen["admitted"] += 1
            assert not isinstance(answer, Refused)
            self.compare_states(asked, answer.states)
            return
        self.compare_refusal(expected, answer)

    def compare_refusal(self, expected: tuple[Slot, Refusal], answer: Any) -> None:
        slot, refusal = expected
        self.seen[refusal.kind] += 1
        assert isinstance(answer, Refused)
        assert answer.slot == slot
        assert {name: getattr(answer, name) for name in vars(refusal)} == vars(refusal)

    def compare_states(self, asked: Claim, states: Any) -> None:
        assert [state.slot for state in states] == [p.slot for p in asked.slots for _ in p.scopes]
        for state in states:
            slot = self.model.slot(state.slot)
            live = slot.live(state.scope, self.clock.second)
            at = state.periods
            assert state.requests_used == len(live)
            assert state.tokens_used == sum(event.tokens for event in live)
            assert state.requests_today == slot.requests_on(state.scope, at.day)
            assert state.tokens_today == slot.settled[at.day, state.scope, "tokens"]
            spent = [
                slot.settled[label, state.scope, "nano"] for label in (at.day, at.week, at.month)
            ]
            assert [state.daily_spend, state.weekly_spend, state.monthly_spend] == spent
            held = slot.held(state.scope)
            assert (state.held_spend, state.held_tokens, state.running) == held

    @precondition(lambda self: self.not_settled())
    @rule(data=st.data(), tokens=tokens, cost=costs, usage=usages)
    def settle(self, data: st.DataObject, tokens: int, cost: int, usage: TakenUsage) -> None:
        asked = data.draw(st.sampled_from(self.not_settled()))
        self.compare_settlement(settlement(asked, tokens=tokens, cost=cost, usage=usage))

    def not_settled(self) -> list[Claim]:
        """The claims that were admitted, and whose settlement is still to come."""
        return [each for each in self.asked if self.model.awaits_settlement(each)]

    @precondition(lambda self: self.asked)
    @rule(data=st.data(), tokens=tokens, cost=costs)
    def settle_any(self, data: st.DataObject, tokens: int, cost: int) -> None:
        asked = data.draw(st.sampled_from(self.asked))
        self.compare_settlement(settlement(asked, tokens=tokens, cost=cost))

    @precondition(lambda self: self.asked)
    @rule(data=st.data(), amounts=st.lists(st.tuples(tokens, costs), min_size=2, max_size=8))
    def settle_together(self, data: st.DataObject, amounts: list[tuple[int, int]]) -> None:
        ended = [
            settlement(data.draw(st.sampled_from(self.asked)), tokens=tokens, cost=cost)
            for tokens, cost in amounts
        ]
        expected = [self.model.settle(each, self.clock.millis) for each in ended]
        self.seen["settled together"] += len(ended)
        assert self.run(self.ledger.settle_many(ended)) == expected

    @rule(age_ms=st.integers(0, 4 * 86_400_000), where=where, cost=costs)
    def settle_what_nobody_knows(self, age_ms: int, where: Where, cost: int) -> None:
        unknown = claim(
            levels=where[0],
            counted=where[1],
            id_ms=self.clock.millis - age_ms,
            cost=cost,
            time_zone=BERLIN,
        )
        self.compare_settlement(settlement(unknown, cost=cost))

    def compare_settlement(self, asked: Settlement) -> None:
        expected = self.model.settle(asked, self.clock.millis)
        self.seen[expected] += 1
        assert self.run(self.ledger.settle(asked)) is expected

    @precondition(lambda self: self.asked)
    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        asked = data.draw(st.sampled_from(self.asked))
        self.model.withdraw(asked)
        self.run(self.ledger.withdraw(asked))

    @precondition(lambda self: self.asked)
    @rule(data=st.data())
    def give_back_what_may_be_on_its_way(self, data: st.DataObject) -> None:
        asked = data.draw(st.sampled_from(self.asked))
        lost = Withdrawal(tuple(part.slot for part in asked.slots), asked.reservation_id)
        assert self.run(self.ledger.withdraw_lost([lost])) == self.model.withdraw_lost(lost)

    @precondition(lambda self: self.asked)
    @rule(data=st.data())
    def withdraw_what_envoy_never_heard_of(self, data: st.DataObject) -> None:
        asked = data.draw(st.sampled_from(self.asked))
        lost = Withdrawal(tuple(part.slot for part in asked.slots), request_id=asked.request_id)
        assert self.run(self.ledger.withdraw_lost([lost])) == self.model.withdraw_lost(lost)

    @rule()
    def sweep(self) -> None:
        slots = {slot for slot, _ in SCOPES.values()}
        expected = sum(self.model.slot(slot).sweep(self.clock.millis) for slot in slots)
        assert self.run(self.ledger.sweep(slots)) == expected

    @rule()
    def forget_the_scripts(self) -> None:
        self.run(self.client.script_flush())

    @invariant()
    def money_and_reservations_agree(self) -> None:
        self.seen["steps"] += 1
        found = self.run(contents(self.client))
        for slot, model in self.model.slots.items():
            stem = f"th:{{{slot.kind}:{slot.name}}}:"
            assert found.get(stem + "holds", {}).keys() == model.holds.keys()
            assert found.get(stem + "leases", {}).keys() == model.holds.keys()
            assert len(found.get(stem + "requests", {})) == len(
                [hold for hold in model.holds.values() if hold.claim.request_id]
            )
            assert held_in(found, stem) == held_of(model)
            assert settled_in(found, stem) == settled_of(model)
            assert usage_in(found, stem) == model.usage
            ended = endings(found, stem)
            assert ended == endings_of(model)
            assert charged_when_lost(found, stem) == {
                id_: hold.charged for id_, hold in model.expired.items()
            }
            self.seen["neighbours that ended in two ways"] += neighbours_that_differ(ended)


def held_in(found: Contents, stem: str) -> dict[str, int]:
    """What running calls hold, as it is stored."""
    return {name: int(amount) for name, amount in found.get(stem + "held", {}).items()}


def held_of(model: SlotModel) -> dict[str, int]:
    """What it should be."""
    scopes = {scope for hold in model.holds.values() for scope in hold.events}
    parts = ("nano", "tokens", "calls")
    held = {f"{s}|{part}": n for s in scopes for part, n in zip(parts, model.held(s), strict=True)}
    return {name: amount for name, amount in held.items() if amount}


def settled_in(found: Contents, stem: str) -> dict[tuple[str, str], int]:
    """Every counter of a day, week or month, by its label and field, as it is stored."""
    counters = {}
    for kind in ("day", "week", "month"):
        for key in (name for name in found if name.startswith(f"{stem}{kind}:")):
            for name, amount in found[key].items():
                counters[key.removeprefix(f"{stem}{kind}:"), name] = int(amount)
    return counters


def settled_of(model: SlotModel) -> dict[tuple[str, str], int]:
    """What they should be."""
    counters = Counter[tuple[str, str]]()
    for (label, scope, what), amount in model.settled.items():
        is_day = len(label) == len("2026-11-24")
        counters[label, f"{scope}|{what}" if is_day else scope] += amount
    for scope, events in model.events.items():
        for event in events:
            counters[event.day, f"{scope}|requests"] += 1
    return {name: amount for name, amount in counters.items() if amount}


def endings_of(model: SlotModel) -> dict[Known, str]:
    """What is to be remembered, as letters."""
    ways = (("s", model.done), ("w", model.withdrawn), ("x", model.expired))
    return {known(id_): letter for letter, ids in ways for id_ in ids}


def neighbours_that_differ(ended: dict[Known, str]) -> int:
    """How many times sixteen ids that stand together ended in more than one way."""
    groups: dict[tuple[int, str], set[str]] = {}
    for (half_minute, digits), letter in ended.items():
        groups.setdefault((half_minute, digits[:-1]), set()).add(letter)
    return sum(len(letters) > 1 for letters in groups.values())


def usage_in(found: Contents, stem: str) -> dict[str, list[int]]:
    """The history of the one row that claims have, by day."""
    field = f"{ROW.project}|{ROW.key}|{ROW.alias}"
    return {
        name.removeprefix(f"{stem}usage:"): [int(amount) for amount in fields[field].split("|")]
        for name, fields in found.items()
        if name.startswith(f"{stem}usage:")
    }


def test_the_ledger_does_in_every_step_what_its_model_does(
    redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with asyncio.Runner() as runner:
        LedgerBesideItsModel.url, LedgerBesideItsModel.runner = redis_url, runner
        seen: Counter[str] = Counter()
        LedgerBesideItsModel.seen = seen
        run_state_machine_as_test(
            LedgerBesideItsModel,
            settings=settings(
                max_examples=240,
                stateful_step_count=60,
                deadline=None,
                suppress_health_check=[HealthCheck.too_slow],
            ),
        )
    with capsys.disabled():
        print(f"\nledger beside its model, no divergence: {dict(seen)}")
