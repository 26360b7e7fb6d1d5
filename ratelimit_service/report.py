"""The counters of a scope in words, for `tollhouse ledger show`. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from ratelimit_service.answers import duration, scope_words
from ratelimit_service.ledger.types import NO_LIMITS, ScopeState
from tollhouse.money import format_usd


def describe(state: ScopeState) -> Iterator[str]:
    """The scope, and a line for each of its counters: what is used, of what, until when."""
    yield scope_words(state.slot, state.scope)
    # Where an org or a model has no limit, calls count when they end, and in no minute.
    is_reserved_in = state.slot.kind == "team" or state.limits != NO_LIMITS
    if is_reserved_in:
        yield f"  last minute: {_minute(state)}"
    yield f"  today, {state.periods.day}: {_today(state)}"
    if is_reserved_in:
        yield f"  running: {_running(state)}"
    yield f"  spent: {_spent(state)}"


def _minute(state: ScopeState) -> str:
    limits = state.limits
    requests = _of(state.requests_used, limits.requests_per_minute, "requests")
    tokens = _of(state.tokens_used, limits.tokens_per_minute, "tokens, reserved ones included")
    empty = max(state.requests_reset_ms, state.tokens_reset_ms)
    return f"{requests}, {tokens}" + (f"; all have left in {duration(empty)}" if empty else "")


def _today(state: ScopeState) -> str:
    limits = state.limits
    requests = _of(state.requests_today, limits.requests_per_day, "requests")
    return f"{requests}, {_of(state.tokens_today, limits.tokens_per_day, 'tokens settled')}"


def _running(state: ScopeState) -> str:
    calls = _of(state.running, state.limits.max_parallel_requests, "calls")
    if not state.running:
        return calls
    return f"{calls}, which hold {format_usd(state.held_spend)} and {state.held_tokens:,} tokens"


def _spent(state: ScopeState) -> str:
    limits, periods = state.limits, state.periods
    parts = (
        ("today", state.daily_spend, limits.daily_spend_nanousd),
        (f"in {periods.week}", state.weekly_spend, limits.weekly_spend_nanousd),
        (f"in {periods.month}", state.monthly_spend, limits.monthly_spend_nanousd),
    )
    told = [
        f"{format_usd(spent)}{'' if limit is None else f' of {format_usd(limit)}'} {when}"
        for when, spent, limit in parts
    ]
    return ", ".join(told) + (f" ({limits.budget_mode} budget)" if limits.has_budget else "")


def _of(used: int, limit: int | None, what: str) -> str:
    return f"{used:,} {what}" if limit is None else f"{used:,} of {limit:,} {what}"
