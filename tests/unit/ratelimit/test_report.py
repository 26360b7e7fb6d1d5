"""What `tollhouse ledger show` says of a scope."""

from __future__ import annotations

from dataclasses import replace

from ratelimit_service.ledger.periods import Periods
from ratelimit_service.ledger.types import NO_LIMITS, ScopeState, Slot
from ratelimit_service.report import describe
from tollhouse.policy.compiled import Limits

STATE = ScopeState(
    slot=Slot("team", "web"),
    scope="key:web-1",
    limits=Limits(
        requests_per_minute=60,
        tokens_per_day=9_000,
        max_parallel_requests=10,
        monthly_spend_nanousd=200_000_000_000,
    ),
    periods=Periods("2026-11-24", "2026-W48", "2026-11"),
    requests_used=12,
    requests_reset_ms=48_000,
    tokens_used=1_500,
    tokens_reset_ms=48_000,
    requests_today=40,
    tokens_today=2_000,
    daily_spend=1_000_000_000,
    weekly_spend=2_000_000_000,
    monthly_spend=12_340_000_000,
    held_spend=10_000_000,
    held_tokens=4_171,
    running=2,
)


def test_every_counter_is_told_with_its_limit_where_it_has_one() -> None:
    assert list(describe(STATE)) == [
        "key web-1",
        "  last minute: 12 of 60 requests, 1,500 tokens, reserved ones included; "
        "all have left in 48s",
        "  today, 2026-11-24: 40 requests, 2,000 of 9,000 tokens settled",
        "  running: 2 of 10 calls, which hold $0.01 and 4,171 tokens",
        "  spent: $1.00 today, $2.00 in 2026-W48, $12.34 of $200.00 in 2026-11 (hard budget)",
    ]


def test_a_scope_that_nobody_uses_and_nothing_limits_is_told_in_zeros() -> None:
    quiet = ScopeState(STATE.slot, "team@small", NO_LIMITS, STATE.periods, *([0] * 12))
    assert list(describe(quiet)) == [
        "team web for model small",
        "  last minute: 0 requests, 0 tokens, reserved ones included",
        "  today, 2026-11-24: 0 requests, 0 tokens settled",
        "  running: 0 calls",
        "  spent: $0.00 today, $0.00 in 2026-W48, $0.00 in 2026-11",
    ]


def test_of_a_model_without_a_limit_only_what_ended_is_told() -> None:
    counted = replace(STATE, slot=Slot("alias", "small"), scope="alias", limits=NO_LIMITS)
    assert list(describe(counted)) == [
        "model small",
        "  today, 2026-11-24: 40 requests, 2,000 tokens settled",
        "  spent: $1.00 today, $2.00 in 2026-W48, $12.34 in 2026-11",
    ]


def test_a_soft_budget_is_called_one() -> None:
    soft = replace(STATE, limits=replace(STATE.limits, budget_mode="soft"))
    assert list(describe(soft))[-1].endswith("in 2026-11 (soft budget)")
