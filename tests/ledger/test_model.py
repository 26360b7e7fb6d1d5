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

from ratelimit_service.ledger.ids import new_reservation_id
from ratelimit_service.ledger.ledger import Ledger
from ratelimit_service.ledger.store import open_redis
from ratelimit_service.ledger.types import Claim, OnLost, Refused, ScopeLimits, Settlement
from tests.ledger.builders import PATIENT, SCOPES, FakeClock, claim, settlement
from tests.ledger.contents import Contents, contents
from tests.ledger.model import LedgerModel

BERLIN = "Europe/Berlin"
T = TypeVar("T")
DAY = 86_400_000_000  # microseconds

limits = st.builds(
    ScopeLimits,
    st.just("any"),
    st.none() | st.integers(2, 20),
    st.none() | st.integers(100, 1_200),
    st.none() | st.integers(250, 6_000),
)
tokens = st.integers(0, 120)
costs = st.integers(0, 300)
jumps = st.one_of(
    st.integers(0, 1_500_000),
    st.integers(0, 70_000_000),
    st.sampled_from([60_000_000, 61_000_000, 3600_000_000, 30 * 3600_000_000, 12 * DAY]),
)
levels = st.sampled_from([tuple(SCOPES), ("key", "project", "team"), ("team", "alias"), ("org",)])


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
        self.ledger = Ledger(self.client, timeout_seconds=PATIENT, clock=self.clock)
        self.run(self.client.flushall())

    def run(self, work: Awaitable[T]) -> T:
        async def finish() -> T:
            return await work

        return self.runner.run(finish())

    def teardown(self) -> None:
        self.run(self.ledger.close())

    @initialize(limits=st.fixed_dictionaries(dict.fromkeys(SCOPES, limits)))
    def choose_limits(self, limits: dict[str, ScopeLimits]) -> None:
        self.limits = limits

    @rule(micros=jumps)
    def time_passes(self, micros: int) -> None:
        self.clock.micros += micros

    @rule(
        levels=levels,
        amounts=st.tuples(tokens, costs),
        lease=st.integers(0, 200),
        on_lost=st.sampled_from(["charge", "release"]),
        times=st.integers(1, 5),
    )
    def admit(
        self,
        levels: tuple[str, ...],
        amounts: tuple[int, int],
        lease: int,
        on_lost: OnLost,
        times: int,
    ) -> None:
        for _ in range(times):
            asked = claim(
                self.limits,
                levels=levels,
                id_ms=self.clock.millis,
                tokens=amounts[0],
                cost=amounts[1],
                lease_seconds=lease,
                on_lost=on_lost,
                time_zone=BERLIN,
            )
            self.asked.append(asked)
            self.compare_admission(asked)

    @precondition(lambda self: self.not_ended())
    @rule(data=st.data())
    def admit_again(self, data: st.DataObject) -> None:
        self.compare_admission(data.draw(st.sampled_from(self.not_ended())))

    def not_ended(self) -> list[Claim]:
        """The claims that neither a settlement nor a lease has ended: their ids are in use."""
        return [each for each in self.asked if not self.model.has_ended(each)]

    def compare_admission(self, asked: Claim) -> None:
        expected = self.model.admit(asked, self.clock.micros)
        answer = self.run(self.ledger.admit(asked))
        if expected is None:
            self.seen["admitted"] += 1
            assert not isinstance(answer, Refused)
            self.compare_states(asked, answer.states)
            return
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
            assert state.requests_used == len(live)
            assert state.tokens_used == sum(event.tokens for event in live)
            assert state.spend_settled == slot.settled[state.scope, state.month]
            assert state.spend_held == slot.held(state.scope, state.month)

    @precondition(lambda self: self.not_settled())
    @rule(data=st.data(), tokens=tokens, cost=costs)
    def settle(self, data: st.DataObject, tokens: int, cost: int) -> None:
        asked = data.draw(st.sampled_from(self.not_settled()))
        self.compare_settlement(settlement(asked, tokens=tokens, cost=cost))

    def not_settled(self) -> list[Claim]:
        """The claims that were admitted, and whose settlement is still to come."""
        return [each for each in self.asked if self.model.awaits_settlement(each)]

    @precondition(lambda self: self.asked)
    @rule(data=st.data(), tokens=tokens, cost=costs)
    def settle_any(self, data: st.DataObject, tokens: int, cost: int) -> None:
        asked = data.draw(st.sampled_from(self.asked))
        self.compare_settlement(settlement(asked, tokens=tokens, cost=cost))

    @rule(age_ms=st.integers(0, 4 * 86_400_000), levels=levels, cost=costs)
    def settle_what_nobody_knows(self, age_ms: int, levels: tuple[str, ...], cost: int) -> None:
        unknown = claim(
            levels=levels, id_ms=self.clock.millis - age_ms, cost=cost, time_zone=BERLIN
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
            assert spend_in(found, stem) == spend_of(model)


def spend_in(found: Contents, stem: str) -> dict[str, int]:
    """The spend hash, without what has come back to 0."""
    fields = found.get(stem + "spend", {})
    return {name: int(amount) for name, amount in fields.items()}


def spend_of(model: Any) -> dict[str, int]:
    """What the spend hash should be."""
    months = {hold.month for hold in model.holds.values()}
    scopes = {scope for hold in model.holds.values() for scope in hold.events}
    held = {f"{s}|{m}|held": model.held(s, m) for s in scopes for m in months}
    settled = {f"{s}|{m}|settled": amount for (s, m), amount in model.settled.items()}
    return {name: amount for name, amount in (held | settled).items() if amount}


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
                max_examples=200,
                stateful_step_count=60,
                deadline=None,
                suppress_health_check=[HealthCheck.too_slow],
            ),
        )
    with capsys.disabled():
        print(f"\nledger beside its model, no divergence: {dict(seen)}")


def test_reservation_ids_sort_by_time_and_do_not_repeat() -> None:
    ids = [new_reservation_id(ms) for ms in range(1_700_000_000_000, 1_700_000_001_000)]

    assert ids == sorted(ids)
    assert len({new_reservation_id(0) for _ in range(1_000)}) == 1_000
    assert int(ids[5][:12], 16) == 1_700_000_000_005
    assert {(each[12], each[16] in "89ab", len(each)) for each in ids} == {("7", True, 32)}
