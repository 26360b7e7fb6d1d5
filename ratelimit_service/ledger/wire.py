"""Claims and settlements as the arguments of scripts, and the replies of scripts as answers.

Pure: what an argument or a reply means is written at the head of each file in `scripts/`.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, cast

from ratelimit_service.ledger.ids import id_millis
from ratelimit_service.ledger.keys import slot_keys
from ratelimit_service.ledger.past import SlotPast
from ratelimit_service.ledger.periods import Day, Periods, days_around, periods_at
from ratelimit_service.ledger.scripts import ScriptCall, load_script
from ratelimit_service.ledger.types import (
    COUNTED_ONLY,
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
_ENDED = -1  # in place of a birth, there
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

_Line = tuple[str, str]
"""The key of a slot, and what a claim or a settlement says of it."""

_OUTCOMES = {outcome.value.encode(): outcome for outcome in SettleOutcome}

# What the whole settlement did is the first of these that happened in any of its slots.
_TELLING = (
    SettleOutcome.UNKNOWN,
    SettleOutcome.CORRECTED,
    SettleOutcome.SETTLED,
    SettleOutcome.TOO_OLD,
    SettleOutcome.COUNTED,
    SettleOutcome.DUPLICATE,
)


def admit_calls(
    prefix: str, claim: Claim, clock: str, now: int, *, apart: bool = False
) -> list[ScriptCall]:
    """One call of admit.lua, or, where a script may only see one slot (`apart`), one per slot that
    is asked. `clock`: microseconds or ""; `now`: seconds."""
    expected = claim.cost if claim.expected_cost is None else claim.expected_cost
    told = (
        f"{claim.reservation_id}|{claim.request_id}|{claim.tokens}|{claim.cost}|{expected}"
        f"|{claim.lease_seconds * 1000}|{claim.on_lost}"
    )
    head = (clock, _days_argument(days_around(claim.time_zone, now)))
    lines = _claim_lines(prefix, claim.asked, claim.row)
    return _calls_with_items("admit", head, told, lines, apart=apart)


def withdraw_calls(prefix: str, withdrawal: Withdrawal, *, on_its_way: bool) -> list[ScriptCall]:
    """One call of withdraw.lua per slot. `on_its_way`: the admission may not have been made yet;
    it is refused when it comes."""
    script = load_script("withdraw")
    arguments = (withdrawal.reservation_id, withdrawal.request_id, int(on_its_way))
    return [ScriptCall(script, _keys(prefix, slot), arguments) for slot in withdrawal.slots]


def settle_calls(
    prefix: str, settlement: Settlement, clock: str, *, apart: bool = False
) -> list[ScriptCall]:
    """One call of settle.lua, or one per slot; see `admit_calls`."""
    made_at = id_millis(settlement.reservation_id) // 1000
    took = settlement.usage
    told = (
        f"{settlement.reservation_id}|{settlement.tokens}|{settlement.cost}|{took.input_tokens}"
        f"|{took.output_tokens}|{took.cached_input_tokens}|{took.errors}"
        f"|{periods_at(settlement.time_zone, made_at).packed()}"
    )
    lines = _settlement_lines(prefix, settlement.slots, settlement.row)
    return _calls_with_items("settle", (clock,), told, lines, apart=apart)


def _calls_with_items(
    script: str, head: tuple[str, ...], told: str, lines: tuple[_Line, ...], *, apart: bool
) -> list[ScriptCall]:
    loaded = load_script(script)
    if apart:
        return [ScriptCall(loaded, (key,), head, f"{told}\n{line}") for key, line in lines]
    keys = tuple([key for key, _ in lines])
    return [ScriptCall(loaded, keys, head, "\n".join([told, *[line for _, line in lines]]))]


def refuse_call(prefix: str, refusals: Refusals) -> ScriptCall:
    """A call of refuse.lua in the team's slot."""
    keys = _keys(prefix, Slot("team", refusals.team))
    field = f"{_fields(refusals.row)}|{refusals.code}"
    arguments = (refusals.day, refusals.row.kept_days, field, refusals.count)
    return ScriptCall(load_script("refuse"), keys, arguments)


def replay_call(prefix: str, slot: Slot, oldest_ms: int | None, clock: str) -> ScriptCall:
    """A call of replay.lua."""
    oldest = "" if oldest_ms is None else oldest_ms
    return ScriptCall(load_script("replay"), _keys(prefix, slot), (clock, oldest))


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
    keys = _keys(prefix, slot)
    arguments = (month, len(totals.counters), *counters, *rows)
    return ScriptCall(load_script("restore"), keys, arguments)


def read_past(reply: object) -> SlotPast:
    """What a slot knows of what was before it."""
    return SlotPast(*map(int, cast("list[bytes]", reply)))


def inspect_call(prefix: str, part: SlotClaim, time_zone: str, clock: str, now: int) -> ScriptCall:
    """A call of inspect.lua; clock and now are as for `admit_calls`."""
    days = _days_argument(days_around(time_zone, now))
    scopes = (claimed.scope for claimed in part.scopes)
    keys = _keys(prefix, part.slot)
    return ScriptCall(load_script("inspect"), keys, (clock, days, *scopes))


def born_call(prefix: str, slot: Slot, clock: str) -> ScriptCall:
    """A call of born.lua."""
    return ScriptCall(load_script("born"), _keys(prefix, slot), (clock,))


def sweep_call(prefix: str, slot: Slot, clock: str) -> ScriptCall:
    """A call of sweep.lua, ending at most SWEPT_AT_ONCE reservations."""
    keys = _keys(prefix, slot)
    return ScriptCall(load_script("sweep"), keys, (clock, SWEPT_AT_ONCE))


def read_admission(
    claim: Claim, replies: Iterable[object]
) -> tuple[Admitted | Refused | None, tuple[Slot, ...]]:
    """What all slots together answer, and those that hold the claim.

    A refusal by several slots is reported as that of the first. None: the claim's id has ended.
    """
    answers = [
        _answer(part, labels, *answer)
        for part, (labels, answer) in zip(claim.asked, _answers(replies), strict=True)
    ]
    took = {each.slot: each.born for each in answers if each.born > 0}
    if any(each.born == _ENDED for each in answers):
        return None, tuple(took)
    refusals = [each for each in answers if each.refusal]
    states = tuple([state for each in refusals or answers for state in each.states])
    if refusals:
        part = claim.asked[answers.index(refusals[0])]
        return _refusal(part, refusals[0].refusal, states), tuple(took)
    return Admitted(claim.reservation_id, states, took), tuple(took)


class _Answer(NamedTuple):
    """What one slot answers."""

    slot: Slot
    born: int
    states: list[ScopeState]
    refusal: Sequence[bytes | int]


def _answers(replies: Iterable[object]) -> Iterator[tuple[bytes | str, list[Any]]]:
    """The labels and the answer of each slot, in order."""
    for reply in replies:
        labels, *answers = cast("list[Any]", reply)
        for answer in answers:
            yield labels, answer


def _answer(
    part: SlotClaim,
    labels: bytes | str,
    born: int,
    figures: Sequence[int] = (),
    refusal: Sequence[bytes | int] = (),
) -> _Answer:
    states = _states(part, labels, figures) if figures else []
    return _Answer(part.slot, born, states, refusal)


def read_inspection(part: SlotClaim, reply: object) -> tuple[ScopeState, ...]:
    """The states of the scopes of one slot."""
    labels, figures = cast("tuple[bytes, list[int]]", reply)
    return tuple(_states(part, labels, figures))


def _states(part: SlotClaim, labels: bytes | str, figures: Sequence[int]) -> list[ScopeState]:
    periods, slot = _periods(labels), part.slot
    return [
        ScopeState(
            slot,
            claimed.scope,
            claimed.limits,
            periods,
            *figures[index * _FIGURES : (index + 1) * _FIGURES],
        )
        for index, claimed in enumerate(part.scopes)
    ]


@lru_cache(maxsize=64)
def _periods(labels: bytes | str) -> Periods:
    return Periods(*_text(labels).split("|"))


def read_outcomes(replies: Iterable[object]) -> tuple[SettleOutcome, ...]:
    """What a settlement did, in each of its slots."""
    return tuple([_OUTCOMES[each] for reply in replies for each in cast("list[bytes]", reply)])


def telling(outcomes: Sequence[SettleOutcome]) -> SettleOutcome:
    """What a settlement did, by what it did in its slots."""
    return next((outcome for outcome in _TELLING if outcome in outcomes), SettleOutcome.DUPLICATE)


def _refusal(
    part: SlotClaim, refusal: Sequence[bytes | int], states: tuple[ScopeState, ...]
) -> Refused:
    name = cast(LimitName, _text(cast("bytes | str", refusal[0])))
    index, limit, used, held, retry_after_ms, ends, never, held_only = cast(
        "Sequence[int]", refusal[1:]
    )
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


# What is the same for many claims is written once.


@lru_cache(maxsize=64)
def _days_argument(days: tuple[Day, ...]) -> str:
    return ",".join(
        f"{day.periods.day}|{day.start}|{day.end}|{day.periods.week}|{day.week_end}"
        f"|{day.periods.month}|{day.month_end}"
        for day in days
    )


@lru_cache(maxsize=16_384)
def _scope_argument(claimed: ScopeClaim) -> str:
    limits = enumerate((limit_of(claimed.limits, name) for name in _LIMITS_IN_ORDER), 1)
    figures = [f"{number}={limit}" for number, limit in limits if limit is not None]
    return "|".join((f"{claimed.scope}{'*' if _soft(claimed) else ''}", *figures))


@lru_cache(maxsize=16_384)
def _claim_lines(
    prefix: str, asked: tuple[SlotClaim, ...], row: UsageRow | None
) -> tuple[_Line, ...]:
    return tuple([_claim_line(slot_keys(prefix, part.slot).held, part, row) for part in asked])


def _claim_line(key: str, part: SlotClaim, row: UsageRow | None) -> _Line:
    reserved = (f"{each.scope}{'*' if _soft(each) else ''}" for each in part.scopes)
    names = ",".join([*reserved, *(f"{name}{COUNTED_ONLY}" for name in part.counted)])
    scopes = " ".join(map(_scope_argument, part.scopes))
    return key, f"{key} {_row(part.slot, row) or '-'} {names} {scopes}"


@lru_cache(maxsize=16_384)
def _settlement_lines(
    prefix: str, slots: tuple[tuple[Slot, tuple[str, ...]], ...], row: UsageRow | None
) -> tuple[_Line, ...]:
    keys = (slot_keys(prefix, slot).held for slot, _ in slots)
    return tuple(
        [
            (key, f"{key} {_row(slot, row) or '-'} {','.join(scopes)}")
            for key, (slot, scopes) in zip(keys, slots, strict=True)
        ]
    )


def _soft(claimed: ScopeClaim) -> bool:
    return claimed.limits.budget_mode == "soft"


def _keys(prefix: str, slot: Slot) -> tuple[str, ...]:
    return (slot_keys(prefix, slot).held,)


def _row(slot: Slot, row: UsageRow | None) -> str:
    # A team's slot keeps the history; elsewhere it would be the same once more.
    return f"{row.kept_days}|{_fields(row)}" if row and slot.kind == "team" else ""


def _fields(row: UsageRow) -> str:
    return f"{row.project}|{row.key}|{row.alias}"


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
