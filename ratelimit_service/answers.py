"""What a caller is told about limits: OpenAI's headers, and refusals that say what to do. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from ratelimit_service.ledger.types import RefusalKind, Refused, ScopeState, Slot
from tollhouse.decisions import PARAMETER_NOT_ALLOWED
from tollhouse.money import format_usd

Headers = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refusal in words and headers; `param` is the parameter that it is about."""

    code: str
    message: str
    headers: Headers
    param: str | None = None


# What tokens do bound of a parameter that is refused only for some of its values (unbounded.lua).
_BOUNDED = {
    "modalities": 'Only "text" is bounded by tokens.',
    "service_tier": "Only the tiers auto, default and flex cost no more than the price.",
    "tools": "Only tools of type function and custom, which the caller runs, are bounded.",
}


def parameter_refusal(message: str, parameter: str) -> Refusal:
    """A refusal of one parameter, by `message`; it also says which values of it would pass."""
    words = [message, *filter(None, [_BOUNDED.get(parameter)])]
    return Refusal(PARAMETER_NOT_ALLOWED, " ".join(words), [], parameter)


def rate_limit_headers(states: Iterable[ScopeState]) -> Headers:
    """`x-ratelimit-{limit,remaining,reset}-{requests,tokens}` of the scope that has least left in
    its minute.

    Resets are durations such as "1s" or "6m0s", as OpenAI documents them.
    """
    requests, tokens = [], []
    for state in states:
        limits = state.limits
        if (limit := limits.requests_per_minute) is not None:
            requests.append((limit - state.requests_used, limit, state.requests_reset_ms))
        if (limit := limits.tokens_per_minute) is not None:
            tokens.append((limit - state.tokens_used, limit, state.tokens_reset_ms))
    return [*_three("requests", requests), *_three("tokens", tokens)]


def _three(what: str, candidates: list[tuple[int, int, int]]) -> Headers:
    if not candidates:
        return []
    remaining, limit, reset_ms = min(candidates)
    return [
        (f"x-ratelimit-limit-{what}", str(limit)),
        (f"x-ratelimit-remaining-{what}", str(max(remaining, 0))),
        (f"x-ratelimit-reset-{what}", duration(reset_ms)),
    ]


def duration(milliseconds: int) -> str:
    """A Go-style duration: "850ms", "12s", "1.5s", "1m0s"."""
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    seconds = f"{rest / 1000:g}"
    return f"{minutes}m{seconds}s" if minutes else f"{seconds}s"


def refusal(refused: Refused, need_tokens: int, need_cost: int, owner: str | None) -> Refusal:
    """What to tell the caller; `need_*` is what the request would have reserved."""
    headers = rate_limit_headers(refused.states)
    if not refused.never and refused.kind is not RefusalKind.BUDGET_EXCEEDED:
        headers.append(("retry-after", str(max(1, math.ceil(refused.retry_after_ms / 1000)))))
    if refused.never or (refused.resets_at is not None and not refused.held_only):
        # SDKs retry a 429 by themselves; this one would only come back the same for hours.
        headers.append(("x-should-retry", "false"))
    ask = f"Ask {owner or 'the gateway operator'} to raise it."
    return Refusal(refused.kind.value, f"{_facts(refused, need_tokens, need_cost)} {ask}", headers)


def scope_in_words(refused: Refused) -> str:
    """Where the limit stands that refused."""
    return scope_words(refused.slot, refused.scope)


def scope_words(slot: Slot, scope: str) -> str:
    """ "key marketing-prod-1", "model gpt4", "key web-1 for model gpt4", "environment staging of
    team marketing"."""
    whole, _, model = scope.partition("@")
    whole, _, env = whole.partition("#")
    level, _, name = whole.partition(":")
    where = f"{'model' if level == 'alias' else level} {name or slot.name}"
    if env:
        return f"environment {env} of {where}"
    return f"{where} for model {model}" if model else where


def _facts(refused: Refused, need_tokens: int, need_cost: int) -> str:
    where = scope_in_words(refused)
    if refused.kind is RefusalKind.REQUESTS:
        return (
            f"Rate limit reached: {where} may make {refused.limit} requests per {_per(refused)} "
            f"and made {refused.used}. {_again(refused)}"
        )
    if refused.kind is RefusalKind.TOKENS:
        return _token_facts(refused, where, need_tokens)
    if refused.kind is RefusalKind.CONCURRENCY:
        return (
            f"Too many calls at once: {where} may have {refused.limit} running and has "
            f"{refused.held}. Try again when one has ended."
        )
    return _budget_facts(refused, where, need_cost)


def _per(refused: Refused) -> str:
    return refused.limit_name.rpartition("_")[2]


def _again(refused: Refused) -> str:
    if refused.held_only:
        return "Try again when the calls that are running have ended."
    if refused.resets_at is not None:
        return f"It resets at {_moment(refused.resets_at)}."
    return f"Try again in {duration(refused.retry_after_ms)}."


def _token_facts(refused: Refused, where: str, need_tokens: int) -> str:
    limit = f"{where} may use {refused.limit} tokens per {_per(refused)}"
    if refused.never:
        return (
            f"Request too large: {limit}, and this call may use up to {need_tokens}. "
            "Send a shorter prompt or a smaller max_completion_tokens."
        )
    return (
        f"Rate limit reached: {limit} and used or reserved {refused.used + refused.held}; this "
        f"call may use up to {need_tokens}. {_again(refused)}"
    )


def _budget_facts(refused: Refused, where: str, need_cost: int) -> str:
    period = refused.limit_name.partition("_")[0]
    spent = f"{format_usd(refused.used)} of {format_usd(refused.limit)}"
    if refused.kind is RefusalKind.BUDGET_RESERVED:
        return (
            f"The {period} budget of {where} is reserved by calls that are still running: {spent} "
            f"is spent, {format_usd(refused.held)} is reserved, this call may cost up to "
            f"{format_usd(need_cost)}. Try again when they have finished."
        )
    return (
        f"The {period} budget of {where} is used up: {spent} is spent and this call may cost up to "
        f"{format_usd(need_cost)}. It resets at {_moment(refused.resets_at)}."
    )


def _moment(epoch_seconds: int | None) -> str:
    moment = datetime.fromtimestamp(epoch_seconds or 0, UTC)
    return moment.isoformat(timespec="minutes").replace("+00:00", "Z")
