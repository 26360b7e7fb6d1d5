"""What a caller is told about limits: OpenAI's headers, and refusals that say what to do next."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit_service.answers import duration, rate_limit_headers, refusal, scope_in_words
from ratelimit_service.ledger.periods import Periods
from ratelimit_service.ledger.types import NO_LIMITS, RefusalKind, Refused, ScopeState, Slot
from tests.unit.ratelimit.builders import headers_of
from tollhouse.decisions import CODES
from tollhouse.policy.compiled import Limits

TEAM = Slot("team", "web")

QUIET = ScopeState(
    TEAM, "team", NO_LIMITS, Periods("2026-11-24", "2026-W48", "2026-11"), *([0] * 12)
)

REFUSED = Refused(
    kind=RefusalKind.REQUESTS,
    limit_name="requests_per_minute",
    slot=TEAM,
    scope="key:web-1",
    limit=60,
    used=60,
    held=0,
    retry_after_ms=12_000,
    resets_at=None,
    never=False,
    held_only=False,
    states=(),
)
TOKENS = replace(
    REFUSED,
    kind=RefusalKind.TOKENS,
    limit_name="tokens_per_minute",
    limit=60_000,
    used=59_000,
)
TOO_LARGE = replace(TOKENS, never=True, retry_after_ms=0)
# 2026-12-01T00:00:00Z
SPENT = replace(
    REFUSED,
    kind=RefusalKind.BUDGET_EXCEEDED,
    limit_name="monthly_spend_usd",
    scope="team",
    limit=500 * 10**9,
    used=499_999_500_000,
    resets_at=1_796_083_200,
)
RESERVED = replace(
    SPENT, kind=RefusalKind.BUDGET_RESERVED, used=10**9, held=499 * 10**9, held_only=True
)
# 2026-11-25T00:00:00Z
A_DAY = replace(REFUSED, limit_name="requests_per_day", resets_at=1_795_564_800)
TOKENS_A_DAY = replace(TOKENS, limit_name="tokens_per_day", held=500, resets_at=1_795_564_800)
RUNNING = replace(
    REFUSED,
    kind=RefusalKind.CONCURRENCY,
    limit_name="max_parallel_requests",
    limit=2,
    used=0,
    held=2,
    held_only=True,
)


def requests(used: int, limit: int | None, reset_ms: int = 0) -> ScopeState:
    limits = Limits(requests_per_minute=limit)
    return replace(QUIET, limits=limits, requests_used=used, requests_reset_ms=reset_ms)


def tokens(used: int, limit: int | None, reset_ms: int = 0) -> ScopeState:
    limits = Limits(tokens_per_minute=limit)
    return replace(QUIET, limits=limits, tokens_used=used, tokens_reset_ms=reset_ms)


def told(refused: Refused, owner: str | None = "web-leads") -> str:
    return refusal(refused, need_tokens=4_171, need_cost=2_468_850, owner=owner).message


def refusal_headers(refused: Refused) -> dict[str, str]:
    return headers_of(refusal(refused, 4_171, 2_468_850, None).headers)


def test_limits_are_told_in_openais_headers() -> None:
    state = replace(
        QUIET,
        limits=Limits(200, 120_000),
        requests_used=1,
        requests_reset_ms=60_000,
        tokens_used=4_171,
        tokens_reset_ms=850,
    )
    assert rate_limit_headers([state]) == [
        ("x-ratelimit-limit-requests", "200"),
        ("x-ratelimit-remaining-requests", "199"),
        ("x-ratelimit-reset-requests", "1m0s"),
        ("x-ratelimit-limit-tokens", "120000"),
        ("x-ratelimit-remaining-tokens", "115829"),
        ("x-ratelimit-reset-tokens", "850ms"),
    ]


def test_without_limits_there_is_nothing_to_tell() -> None:
    assert rate_limit_headers([]) == []
    assert rate_limit_headers([QUIET, QUIET]) == []


def test_only_what_is_limited_is_told() -> None:
    assert set(headers_of(rate_limit_headers([requests(1, 2)]))) == {
        "x-ratelimit-limit-requests",
        "x-ratelimit-remaining-requests",
        "x-ratelimit-reset-requests",
    }
    assert all(name.endswith("-tokens") for name, _ in rate_limit_headers([tokens(1, 2)]))


def test_the_scope_that_has_least_left_is_told_not_the_one_with_the_smallest_limit() -> None:
    states = [requests(0, 10, 1_000), requests(995, 1_000, 7_000), requests(3, None, 9_000)]
    assert headers_of(rate_limit_headers(states)) == {
        "x-ratelimit-limit-requests": "1000",
        "x-ratelimit-remaining-requests": "5",
        "x-ratelimit-reset-requests": "7s",
    }


def test_requests_and_tokens_may_be_told_of_different_scopes() -> None:
    one = replace(QUIET, limits=Limits(10, 100), requests_used=9)
    other = replace(QUIET, limits=Limits(10, 100), tokens_used=99)
    headers = headers_of(rate_limit_headers([one, other]))
    assert headers["x-ratelimit-remaining-requests"] == "1"
    assert headers["x-ratelimit-remaining-tokens"] == "1"


def test_what_is_left_is_never_negative() -> None:
    # A settlement may take more than was reserved, and a reload may lower a limit.
    headers = headers_of(rate_limit_headers([tokens(700, 500)]))
    assert headers["x-ratelimit-remaining-tokens"] == "0"


@pytest.mark.parametrize(
    ("milliseconds", "written"),
    [
        (0, "0ms"),
        (1, "1ms"),
        (999, "999ms"),
        (1_000, "1s"),
        (1_500, "1.5s"),
        (1_001, "1.001s"),
        (12_000, "12s"),
        (59_999, "59.999s"),
        (60_000, "1m0s"),
        (60_010, "1m0.01s"),
        (360_000, "6m0s"),
        (3_600_000, "60m0s"),
    ],
)
def test_a_duration_is_written_as_openai_does(milliseconds: int, written: str) -> None:
    assert duration(milliseconds) == written


@given(st.integers(0, 10**10))
def test_a_duration_says_the_milliseconds_exactly(milliseconds: int) -> None:
    found = re.fullmatch(r"(?:(\d+)m)?(?:(\d+)(?:\.(\d{1,3}))?s)|(\d+)ms", duration(milliseconds))
    assert found
    minutes, seconds, fraction, millis = (part or "0" for part in found.groups())
    read = int(minutes) * 60_000 + int(seconds) * 1_000 + int(fraction.ljust(3, "0")) + int(millis)
    assert read == milliseconds


@pytest.mark.parametrize(
    ("slot", "scope", "words"),
    [
        (TEAM, "key:web-1", "key web-1"),
        (TEAM, "project:site", "project site"),
        (TEAM, "team", "team web"),
        (Slot("org", "acme"), "org", "org acme"),
        (Slot("alias", "small"), "alias", "model small"),
        (Slot("alias", "openai/gpt:4"), "alias", "model openai/gpt:4"),
        (TEAM, "key:a:b", "key a:b"),
        (TEAM, "key:web-1@small", "key web-1 for model small"),
        (TEAM, "team@openai/gpt@4", "team web for model openai/gpt@4"),
        (TEAM, "project:site#staging", "environment staging of project site"),
        (TEAM, "team#staging", "environment staging of team web"),
    ],
)
def test_a_scope_is_named_as_people_know_it(slot: Slot, scope: str, words: str) -> None:
    assert scope_in_words(replace(REFUSED, slot=slot, scope=scope)) == words


@pytest.mark.parametrize(
    ("refused", "message"),
    [
        (
            REFUSED,
            "Rate limit reached: key web-1 may make 60 requests per minute and made 60. "
            "Try again in 12s. Ask web-leads to raise it.",
        ),
        (
            TOKENS,
            "Rate limit reached: key web-1 may use 60000 tokens per minute and used or reserved "
            "59000; this call may use up to 4171. Try again in 12s. Ask web-leads to raise it.",
        ),
        (
            TOO_LARGE,
            "Request too large: key web-1 may use 60000 tokens per minute, and this call may use "
            "up to 4171. Send a shorter prompt or a smaller max_completion_tokens. "
            "Ask web-leads to raise it.",
        ),
        (
            SPENT,
            "The monthly budget of team web is used up: $499.9995 of $500.00 is spent and this "
            "call may cost up to $0.00246885. It resets at 2026-12-01T00:00Z. "
            "Ask web-leads to raise it.",
        ),
        (
            RESERVED,
            "The monthly budget of team web is reserved by calls that are still running: $1.00 of "
            "$500.00 is spent, $499.00 is reserved, this call may cost up to $0.00246885. "
            "Try again when they have finished. Ask web-leads to raise it.",
        ),
        (
            replace(SPENT, limit_name="daily_spend_usd"),
            "The daily budget of team web is used up: $499.9995 of $500.00 is spent and this call "
            "may cost up to $0.00246885. It resets at 2026-12-01T00:00Z. "
            "Ask web-leads to raise it.",
        ),
        (
            A_DAY,
            "Rate limit reached: key web-1 may make 60 requests per day and made 60. "
            "It resets at 2026-11-25T00:00Z. Ask web-leads to raise it.",
        ),
        (
            TOKENS_A_DAY,
            "Rate limit reached: key web-1 may use 60000 tokens per day and used or reserved "
            "59500; this call may use up to 4171. It resets at 2026-11-25T00:00Z. "
            "Ask web-leads to raise it.",
        ),
        (
            replace(TOKENS_A_DAY, held_only=True),
            "Rate limit reached: key web-1 may use 60000 tokens per day and used or reserved "
            "59500; this call may use up to 4171. Try again when the calls that are running have "
            "ended. Ask web-leads to raise it.",
        ),
        (
            RUNNING,
            "Too many calls at once: key web-1 may have 2 running and has 2. "
            "Try again when one has ended. Ask web-leads to raise it.",
        ),
    ],
)
def test_a_refusal_says_which_limit_where_and_what_to_do(refused: Refused, message: str) -> None:
    assert told(refused) == message


def test_where_nobody_owns_the_limit_the_operator_is_asked() -> None:
    assert told(REFUSED, owner=None).endswith("Ask the gateway operator to raise it.")


@pytest.mark.parametrize("kind", RefusalKind)
def test_every_kind_of_refusal_is_a_decision_code_with_status_429(kind: RefusalKind) -> None:
    code = refusal(replace(SPENT, kind=kind), 1, 1, None).code
    assert code == kind.value
    assert CODES[code].status == 429


@pytest.mark.parametrize("refused", [REFUSED, TOKENS, RESERVED, RUNNING])
def test_what_passes_by_itself_says_when_to_retry(refused: Refused) -> None:
    assert refusal_headers(refused) == {"retry-after": "12"}


@pytest.mark.parametrize("refused", [TOO_LARGE, SPENT])
def test_what_would_only_come_back_the_same_tells_sdks_not_to_retry(refused: Refused) -> None:
    assert refusal_headers(refused) == {"x-should-retry": "false"}


@pytest.mark.parametrize("refused", [A_DAY, TOKENS_A_DAY])
def test_a_limit_of_the_day_says_when_it_resets_and_that_retrying_before_is_no_use(
    refused: Refused,
) -> None:
    assert refusal_headers(refused) == {"retry-after": "12", "x-should-retry": "false"}


@pytest.mark.parametrize(
    ("milliseconds", "seconds"), [(0, "1"), (1, "1"), (1_000, "1"), (1_001, "2"), (59_001, "60")]
)
def test_a_retry_is_never_too_early_and_never_at_once(milliseconds: int, seconds: str) -> None:
    refused = replace(REFUSED, retry_after_ms=milliseconds)
    assert refusal_headers(refused)["retry-after"] == seconds


def test_a_refusal_carries_the_limits_too() -> None:
    headers = refusal_headers(replace(REFUSED, states=(requests(60, 60, 12_000),)))
    assert headers["x-ratelimit-remaining-requests"] == "0"
    assert headers["x-ratelimit-reset-requests"] == "12s"
    assert headers["retry-after"] == "12"
