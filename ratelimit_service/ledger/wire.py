"""Claims and settlements as the arguments of scripts, and the replies of scripts as answers.

Pure: what an argument or a reply means is written at the head of each file in `scripts/`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import cast

from ratelimit_service.ledger.ids import id_millis
from ratelimit_service.ledger.keys import slot_keys
from ratelimit_service.ledger.past import SlotPast
from ratelimit_service.ledger.periods import Day, Periods, days_around, periods_at
from ratelimit_service.ledger.scripts import ScriptCall, load_script
from ratelimit_service.ledger.types import (
    Admitted,
    Claim,
    LimitName,
    RefusalKind,
    Refusals,
    Refused,
    ScopeClaim,
    ScopeState,
    Settlement,
    SettleOutcome,
    Slot,
    SlotClaim,
    SlotTotals,
    UsageRow,
    Withdrawal,
    limit_of,
)

SWEPT_AT_ONCE = 64
"""How many reservations one call of the sweep script ends at most."""

_FIGURES = 12  # per scope, in the reply of admit.lua
_LIMITS_IN_ORDER: tuple[LimitName, ...] = (
    "requests_per_minute",
    "tokens_per_minute",
    "requests_per_day",
    "tokens_per_day",
    "max_parallel_requests",
    "daily_spend_usd",
    "weekly_spend_usd",
    "monthly_spend_usd",
)
# The refusals of the others are those of budgets.
_KINDS: dict[LimitName, RefusalKind] = {
    "requests_per_minute": RefusalKind.REQUESTS,
    "requests_per_day": RefusalKind.REQUESTS,
    "tokens_per_minute": RefusalKind.TOKENS,
    "tokens_per_day": RefusalKind.TOKENS,
    "max_parallel_requests": RefusalKind.CONCURRENCY,
}

# What the whole settlement did is the first of these that happened in any of its slots.
_TELLING = (
    SettleOutcome.UNKNOWN,
    SettleOutcome.CORRECTED,
    SettleOutcome.SETTLED,
    SettleOutcome.TOO_OLD,
    SettleOutcome.COUNTED,
    SettleOutcome.DUPLICATE,
)


def admit_calls(prefix: str, claim: Claim, clock: str, now: int) -> list[ScriptCall]:
    """One call of admit.lua per slot that is asked. `clock`: microseconds or ""; `now`: seconds."""
    script = load_script("admit")
    before_row: tuple[str | int, ...] = (
        clock,
        claim.reservation_id,
        claim.request_id,
        claim.tokens,
        claim.cost,
        claim.cost if claim.expected_cost is None else claim.expected_cost,
        claim.lease_seconds * 1000,
        claim.on_lost,
    )
    days = _days_argument(days_around(claim.time_zone, now))
    return [
        ScriptCall(
            script,
            slot_keys(prefix, part.slot).declared,
            (
                *(*before_row, _row(part.slot, claim.row), days, ",".join(part.counted)),
                *map(_scope_argument, part.scopes),
            ),
        )
        for part in claim.asked
    ]


def withdraw_calls(prefix: str, withdrawal: Withdrawal, *, on_its_way: bool) -> list[ScriptCall]:
    """One call of withdraw.lua per slot. `on_its_way`: the admission may not have been made yet;
    it is refused when it comes."""
    script = load_script("withdraw")
    arguments = (withdrawal.reservation_id, withdrawal.request_id, int(on_its_way))
    return [
        ScriptCall(script, slot_keys(prefix, slot).declared, arguments) for slot in withdrawal.slots
    ]


def settle_calls(prefix: str, settlement: Settlement, clock: str) -> list[ScriptCall]:
    """One call of settle.lua per slot."""
    made_at = id_millis(settlement.reservation_id) // 1000
    before_row: tuple[str | int, ...] = (
        clock,
        settlement.reservation_id,
        settlement.tokens,
        settlement.cost,
        periods_at(settlement.time_zone, made_at).packed(),
    )
    took = settlement.usage
    usage = f"{took.input_tokens}|{took.output_tokens}|{took.cached_input_tokens}|{took.errors}"
    script = load_script("settle")
    return [
        ScriptCall(
            script,
            slot_keys(prefix, slot).declared,
            (*before_row, _row(slot, settlement.row), usage, *scopes),
        )
        for slot, scopes in settlement.slots
    ]


def refuse_call(prefix: str, refusals: Refusals) -> ScriptCall:
    """A call of refuse.lua in the team's slot."""
    keys = slot_keys(prefix, Slot("team", refusals.team)).declared
    field = f"{_fields(refusals.row)}|{refusals.code}"
    arguments = (refusals.day, refusals.row.kept_days, field, refusals.count)
    return ScriptCall(load_script("refuse"), keys, arguments)


def replay_call(prefix: str, slot: Slot, oldest_ms: int | None, clock: str) -> ScriptCall:
    """A call of replay.lua."""
    oldest = "" if oldest_ms is None else oldest_ms
    return ScriptCall(load_script("replay"), slot_keys(prefix, slot).declared, (clock, oldest))


def restore_call(prefix: str, slot: Slot, month: str, totals: SlotTotals) -> ScriptCall:
    """A call of restore.lua."""
    counters = [
        part
        for (kind, label, scope), nano in totals.counters.items()
        for part in (kind, label, scope, nano)
    ]
    rows = [
        part
        for (row, day), amounts in totals.usage.items()
        for part in (_row(slot, row), day, "|".join(map(str, amounts)))
    ]
    keys = slot_keys(prefix, slot).declared
    arguments = (month, len(totals.counters), *counters, *rows)
    return ScriptCall(load_script("restore"), keys, arguments)


def read_past(reply: object) -> SlotPast:
    """What a slot knows of what was before it."""
    return SlotPast(*map(int, cast("list[bytes]", reply)))


def inspect_call(prefix: str, part: SlotClaim, time_zone: str, clock: str, now: int) -> ScriptCall:
    """A call of inspect.lua; clock and now are as for `admit_calls`."""
    days = _days_argument(days_around(time_zone, now))
    scopes = (claimed.scope for claimed in part.scopes)
    keys = slot_keys(prefix, part.slot).declared
    return ScriptCall(load_script("inspect"), keys, (clock, days, *scopes))


def born_call(prefix: str, slot: Slot, clock: str) -> ScriptCall:
    """A call of born.lua."""
    return ScriptCall(load_script("born"), slot_keys(prefix, slot).declared, (clock,))


def sweep_call(prefix: str, slot: Slot, clock: str) -> ScriptCall:
    """A call of sweep.lua, ending at most SWEPT_AT_ONCE reservations."""
    keys = slot_keys(prefix, slot).declared
    return ScriptCall(load_script("sweep"), keys, (clock, SWEPT_AT_ONCE))


def read_admission(
    claim: Claim, replies: Iterable[object]
) -> tuple[Admitted | Refused, tuple[Slot, ...]]:
    """What all slots together answer, and those that took the claim.

    A refusal by several slots is reported as that of the first.
    """
    answers = [_answer(part, reply) for part, reply in zip(claim.asked, replies, strict=True)]
    refusals = [answer for answer in answers if isinstance(answer, Refused)]
    admitted = [answer for answer in answers if isinstance(answer, Admitted)]
    births = {slot: born for answer in admitted for slot, born in answer.births.items()}
    if refusals:
        states = tuple(state for refusal in refusals for state in refusal.states)
        return replace(refusals[0], states=states), tuple(births)
    states = tuple(state for answer in admitted for state in answer.states)
    return Admitted(claim.reservation_id, states, births), tuple(births)


def _answer(part: SlotClaim, reply: object) -> Admitted | Refused:
    """What one slot answers; an admission has no id yet."""
    labels, figures, refusal, born = cast(
        "tuple[bytes | str, list[bytes], list[bytes], bytes]", reply
    )
    states = _states(part, labels, figures)
    if refusal:
        return _refusal(part, refusal, states)
    return Admitted("", states, {part.slot: int(born)})


def read_inspection(part: SlotClaim, reply: object) -> tuple[ScopeState, ...]:
    """The states of the scopes of one slot."""
    return _states(part, *cast("tuple[bytes | str, list[bytes]]", reply))


def _states(
    part: SlotClaim, labels: bytes | str, figures: Sequence[bytes]
) -> tuple[ScopeState, ...]:
    periods = Periods(*_text(labels).split("|"))
    return tuple(
        ScopeState(
            part.slot,
            claimed.scope,
            claimed.limits,
            periods,
            *map(int, figures[index * _FIGURES : (index + 1) * _FIGURES]),
        )
        for index, claimed in enumerate(part.scopes)
    )


def read_outcome(reply: object) -> SettleOutcome:
    """What a settlement did in one slot."""
    return SettleOutcome(_text(cast("bytes | str", reply)))


def telling(outcomes: Sequence[SettleOutcome]) -> SettleOutcome:
    """What a settlement did, by what it did in its slots."""
    return next((outcome for outcome in _TELLING if outcome in outcomes), SettleOutcome.DUPLICATE)


def _refusal(part: SlotClaim, refusal: Sequence[bytes], states: tuple[ScopeState, ...]) -> Refused:
    name = cast(LimitName, _text(refusal[0]))
    index, limit, used, held, retry_after_ms, ends, never, held_only = map(int, refusal[1:])
    kind = _KINDS.get(name)
    if kind is None:
        kind = RefusalKind.BUDGET_RESERVED if held_only else RefusalKind.BUDGET_EXCEEDED
    return Refused(
        kind=kind,
        limit_name=name,
        slot=part.slot,
        scope=part.scopes[index].scope,
        limit=limit,
        used=used,
        held=held,
        retry_after_ms=retry_after_ms,
        resets_at=ends or None,
        never=bool(never),
        held_only=bool(held_only),
        states=states,
    )


# A client takes some 8 µs to pack an argument, so what belongs together is one argument; and these
# are the same for many claims, so each is written once.


@lru_cache(maxsize=64)
def _days_argument(days: tuple[Day, ...]) -> str:
    return ",".join(
        f"{day.periods.day}|{day.start}|{day.end}|{day.periods.week}|{day.week_end}"
        f"|{day.periods.month}|{day.month_end}"
        for day in days
    )


@lru_cache(maxsize=16_384)
def _scope_argument(claimed: ScopeClaim) -> str:
    limits = [limit_of(claimed.limits, name) for name in _LIMITS_IN_ORDER]
    soft = "1" if claimed.limits.budget_mode == "soft" else ""
    figures = ("" if limit is None else str(limit) for limit in limits)
    return "|".join((claimed.scope, *figures, soft))


def _row(slot: Slot, row: UsageRow | None) -> str:
    # A team's slot keeps the history; elsewhere it would be the same once more.
    return f"{row.kept_days}|{_fields(row)}" if row and slot.kind == "team" else ""


def _fields(row: UsageRow) -> str:
    return f"{row.project}|{row.key}|{row.alias}"


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
