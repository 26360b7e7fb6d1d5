"""Claims and settlements as the arguments of scripts, and the replies of scripts as answers.

Pure: what an argument or a reply means is written at the head of each file in `scripts/`.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import cast

from ratelimit_service.ledger.keys import slot_keys
from ratelimit_service.ledger.periods import Month, months_around
from ratelimit_service.ledger.scripts import ScriptCall, load_script
from ratelimit_service.ledger.types import (
    Claim,
    RefusalKind,
    Refused,
    ScopeLimits,
    ScopeState,
    Settlement,
    SettleOutcome,
    Slot,
    SlotClaim,
)

SWEPT_AT_ONCE = 64
"""How many reservations one call of the sweep script ends at most."""

_BUDGETS = (RefusalKind.BUDGET_EXCEEDED, RefusalKind.BUDGET_RESERVED)
_FIGURES = 6  # per scope, in the reply of admit.lua

# What the whole settlement did is the first of these that happened in any of its slots.
_TELLING = (
    SettleOutcome.UNKNOWN,
    SettleOutcome.CORRECTED,
    SettleOutcome.SETTLED,
    SettleOutcome.TOO_OLD,
    SettleOutcome.DUPLICATE,
)


def admit_calls(prefix: str, claim: Claim, clock: str, now: int) -> list[ScriptCall]:
    """One call of admit.lua per slot. `clock` is microseconds or "", `now` epoch seconds."""
    shared = (
        clock,
        claim.reservation_id,
        claim.tokens,
        claim.cost,
        claim.lease_seconds * 1000,
        claim.on_lost,
        _months_argument(months_around(claim.time_zone, now)),
    )
    script = load_script("admit")
    return [
        ScriptCall(
            script,
            slot_keys(prefix, part.slot).declared,
            (*shared, *map(_limits_argument, part.scopes)),
        )
        for part in claim.slots
    ]


def withdraw_calls(prefix: str, slots: Sequence[Slot], reservation_id: str) -> list[ScriptCall]:
    """One call of withdraw.lua per slot."""
    script = load_script("withdraw")
    return [
        ScriptCall(script, slot_keys(prefix, slot).declared, (reservation_id,)) for slot in slots
    ]


def settle_calls(prefix: str, settlement: Settlement, clock: str, now: int) -> list[ScriptCall]:
    """One call of settle.lua per slot."""
    shared = (
        clock,
        settlement.reservation_id,
        settlement.tokens,
        settlement.cost,
        _months_argument(months_around(settlement.time_zone, now)),
    )
    script = load_script("settle")
    return [
        ScriptCall(script, slot_keys(prefix, slot).declared, shared + scopes)
        for slot, scopes in settlement.slots
    ]


def sweep_call(prefix: str, slot: Slot, clock: str) -> ScriptCall:
    """A call of sweep.lua, ending at most SWEPT_AT_ONCE reservations."""
    keys = slot_keys(prefix, slot).declared
    return ScriptCall(load_script("sweep"), keys, (clock, SWEPT_AT_ONCE))


def read_admission(part: SlotClaim, reply: object) -> tuple[tuple[ScopeState, ...], Refused | None]:
    """The states of the scopes of one slot, and the refusal if there is one."""
    month, figures, refusal = cast("tuple[bytes | str, list[bytes], list[bytes]]", reply)
    states = tuple(
        _scope_state(part, index, figures[index * _FIGURES :], _text(month))
        for index in range(len(part.scopes))
    )
    return states, _refusal(part, refusal, states) if refusal else None


def read_outcome(replies: Sequence[object]) -> SettleOutcome:
    """What a settlement did, from the replies of its slots."""
    outcomes = {SettleOutcome(_text(cast("bytes | str", reply))) for reply in replies}
    return next((outcome for outcome in _TELLING if outcome in outcomes), SettleOutcome.DUPLICATE)


def _scope_state(part: SlotClaim, index: int, figures: Sequence[bytes], month: str) -> ScopeState:
    limits = part.scopes[index]
    return ScopeState(
        slot=part.slot,
        scope=limits.scope,
        requests_used=int(figures[0]),
        requests_limit=limits.requests_per_minute,
        requests_reset_ms=int(figures[1]),
        tokens_used=int(figures[2]),
        tokens_limit=limits.tokens_per_minute,
        tokens_reset_ms=int(figures[3]),
        spend_settled=int(figures[4]),
        spend_held=int(figures[5]),
        spend_limit=limits.monthly_spend_nanousd,
        month=month,
    )


def _refusal(part: SlotClaim, refusal: Sequence[bytes], states: tuple[ScopeState, ...]) -> Refused:
    kind = RefusalKind(_text(refusal[0]))
    index, limit, used, held, retry_after_ms, month_ends, never = map(int, refusal[1:])
    return Refused(
        kind=kind,
        slot=part.slot,
        scope=part.scopes[index].scope,
        limit=limit,
        used=used,
        held=held,
        retry_after_ms=retry_after_ms,
        resets_at=month_ends if kind in _BUDGETS else None,
        never=bool(never),
        states=states,
    )


# A client takes some 8 µs to pack an argument, so what belongs together is one argument; and these
# are the same for many claims, so each is written once.


@lru_cache(maxsize=64)
def _months_argument(months: tuple[Month, Month, Month]) -> str:
    return ",".join(f"{month.label}|{month.start}|{month.end}" for month in months)


@lru_cache(maxsize=16_384)
def _limits_argument(limits: ScopeLimits) -> str:
    figures = (
        limits.requests_per_minute,
        limits.tokens_per_minute,
        limits.monthly_spend_nanousd,
    )
    return "|".join((limits.scope, *("" if each is None else str(each) for each in figures)))


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
