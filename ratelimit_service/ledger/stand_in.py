"""The ledger in this process's memory, for a policy that admits calls while the store is away.

It runs the store's own scripts, so a limit means the same here. It begins with the counters that
the store's last answers told, and forgets a slot as soon as the store answers for it again.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import cast

from lupa import lua51

from ratelimit_service.ledger import wire
from ratelimit_service.ledger.errors import LedgerError
from ratelimit_service.ledger.keys import slot_keys
from ratelimit_service.ledger.periods import periods_at
from ratelimit_service.ledger.scripts import ScriptCall
from ratelimit_service.ledger.types import (
    Admitted,
    Claim,
    Refused,
    ScopeState,
    Settlement,
    Slot,
    SlotClaim,
    Withdrawal,
)

_MEMORY = Path(__file__).with_name("memory.lua")
_WINDOW_SECONDS = 62


class StandIn:
    """One per service. It knows the calls of this replica only.

    What a scope had settled and held when the store was last heard of counts as settled, and all
    requests of its window as made at that moment. A scope that was never heard of begins at zero.
    `clock` is microseconds since 1970. Nothing here waits for anything.
    """

    def __init__(self, clock: Callable[[], int] = lambda: time.time_ns() // 1000) -> None:
        self._clock = clock
        # Lua 5.1, because that is what Redis runs scripts in.
        self._lua = lua51.LuaRuntime(unpack_returned_tuples=True)
        self._run, self._drop, self._call = self._lua.execute(_MEMORY.read_text("utf-8"))
        self._heard: dict[tuple[Slot, str], tuple[int, ScopeState]] = {}
        self._open: dict[Slot, set[str]] = {}
        self._admitted: set[str] = set()

    def hear(self, states: Iterable[ScopeState]) -> None:
        """What the store says of some scopes. It is back, so nothing stands in for their slots."""
        second = self._clock() // 1_000_000
        for state in states:
            self._heard[state.slot, state.scope] = (second, state)
            if state.slot in self._open:
                self._forget(state.slot)

    def admit(self, claim: Claim) -> Admitted | Refused:
        """As `Ledger.admit`, here."""
        clock = self._clock()
        (call,) = wire.admit_calls("", claim, str(clock), clock // 1_000_000)
        for part in claim.asked:
            self._begin(part, claim.time_zone, clock // 1_000_000)
        outcome, took = wire.read_admission(claim, [self._answer(call)])
        if not isinstance(outcome, Admitted):
            self._withdraw(claim, took)
            if outcome is None:
                raise LedgerError("the reservation was given back before it was made (ENDED)")
            return outcome
        self._admitted.add(claim.reservation_id)
        return replace(outcome, births={})  # not the store's

    def admitted(self, reservation_id: str) -> bool:
        """Whether a call was admitted here, and has not ended."""
        return reservation_id in self._admitted

    def settle(self, settlement: Settlement) -> None:
        """As `Ledger.settle`, for a call that was admitted here."""
        self._admitted.remove(settlement.reservation_id)
        here = replace(settlement, slots=tuple(s for s in settlement.slots if s[0] in self._open))
        for call in wire.settle_calls("", here, str(self._clock())):
            self._answer(call)

    def _forget(self, slot: Slot) -> None:
        del self._open[slot]
        self._drop(slot_keys("", slot).stem)
        if not self._open:
            self._admitted.clear()

    def _withdraw(self, claim: Claim, took: tuple[Slot, ...]) -> None:
        withdrawal = Withdrawal(took, reservation_id=claim.reservation_id)
        calls = wire.withdraw_calls("", withdrawal, on_its_way=False)
        for call in calls:
            self._answer(call)

    def _begin(self, part: SlotClaim, time_zone: str, second: int) -> None:
        begun = self._open.setdefault(part.slot, set())
        for scope in (each.scope for each in part.scopes if each.scope not in begun):
            begun.add(scope)
            if heard := self._heard.get((part.slot, scope)):
                self._remember(*heard, time_zone, second)

    def _remember(self, heard: int, state: ScopeState, time_zone: str, second: int) -> None:
        """Write what was heard of a scope, as far as it still counts."""
        scope, keys = state.scope, slot_keys("", state.slot)

        def add(key: str, field: str, amount: int) -> None:
            self._call("HINCRBY", key, field, amount)

        now, then, held = periods_at(time_zone, second), state.periods, state.held_spend
        if then.day == now.day:
            day = keys.counters("day", now.day)
            add(day, f"{scope}|nano", state.daily_spend + held)
            add(day, f"{scope}|tokens", state.tokens_today + state.held_tokens)
            add(day, f"{scope}|requests", state.requests_today)
        if then.week == now.week:
            add(keys.counters("week", now.week), scope, state.weekly_spend + held)
        if then.month == now.month:
            add(keys.counters("month", now.month), scope, state.monthly_spend + held)
        if second - heard < _WINDOW_SECONDS:
            window = keys.window(scope)
            for field in ("head", "last"):
                add(window, field, heard)
            for letter, used in (("r", state.requests_used), ("t", state.tokens_used)):
                add(window, f"{letter}:{heard}", used)
                add(window, f"{letter}s", used)

    def _answer(self, call: ScriptCall) -> object:
        """The script's answer; of a call with an item, the one for this item."""
        lua = self._lua
        given = call.args if call.item is None else (*call.args, call.item)
        arguments = lua.table_from([str(argument) for argument in given])
        reply = _plain(self._run(call.script.source, lua.table_from(call.keys), arguments))
        return reply if call.item is None else cast("list[object]", reply)[0]


def _plain(reply: object) -> object:
    if lua51.lua_type(reply) != "table":
        return reply
    return [_plain(each) for each in reply.values()]  # type: ignore[attr-defined]  # lupa's table
