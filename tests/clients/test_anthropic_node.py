"""Anthropic's Node SDK."""

from __future__ import annotations

import pytest

from tests.clients.billed import assert_billed, assert_free, assert_left, assert_refused
from tests.clients.client import WORDS, Client

CLIENT = "anthropic_node"


def test_a_message_has_the_alias_as_its_model(client: Client) -> None:
    outcome = client.run("message")
    assert outcome.got == {"model": "claude", "text": WORDS}
    assert_billed(outcome, "claude")


def test_a_stream_is_gathered_with_its_usage(client: Client) -> None:
    outcome = client.run("stream")
    assert outcome.got == {"text": WORDS, "model": "claude", "output": 12}
    assert_billed(outcome, "claude")


def test_a_stream_that_the_client_leaves_is_charged(client: Client) -> None:
    outcome = client.run("cancelled", fault="token_delay_ms=100")
    assert outcome.got == 3
    assert_left(outcome, "claude")


def test_a_tool_is_called_and_its_result_is_answered(client: Client) -> None:
    outcome = client.run("tools", calls=2)
    assert outcome.got == {
        "name": "get_weather",
        "arguments": ["place", "celsius"],
        "text": WORDS,
    }
    assert_billed(outcome, "claude")


def test_tokens_are_counted_for_nothing(client: Client) -> None:
    outcome = client.run("count")
    assert outcome.got > 0
    assert_free(outcome)


def test_a_rate_limited_provider_is_asked_again(client: Client) -> None:
    outcome = client.run("timed", fault="status=429,retry_after=1", times=1, calls=2)
    assert outcome.got == WORDS
    assert outcome.bill["requests"] == 1


REFUSED = [
    ("AuthenticationError", 401, "authentication_error", "invalid_api_key", {"key": "nobody"}),
    ("PermissionDeniedError", 403, "permission_error", "model_not_allowed", {"model": "secret"}),
    ("NotFoundError", 404, "not_found_error", "model_not_found", {"model": "claude-nothing"}),
    ("RateLimitError", 429, "rate_limit_error", "budget_exceeded", {"key": "broke"}),
]


@pytest.mark.parametrize(
    ("kind", "status", "error_type", "code", "asked"), REFUSED, ids=[r[3] for r in REFUSED]
)
def test_a_refusal_is_the_sdks_own_exception_in_anthropics_shape(  # noqa: PLR0917
    client: Client, kind: str, status: int, error_type: str, code: str, asked: dict[str, str]
) -> None:
    outcome = client.run("error", **asked)
    assert outcome.got == {"class": kind, "status": status, "type": error_type}
    assert_refused(outcome, code, status=status)


def test_a_failure_of_the_provider_is_the_sdks_own_exception(client: Client) -> None:
    outcome = client.run("error", fault="status=500", maxRetries=0)
    assert (outcome.got["class"], outcome.got["status"]) == ("InternalServerError", 500)
    assert_free(outcome)
