"""Anthropic's Python SDK."""

from __future__ import annotations

import pytest

from tests.clients.billed import assert_billed, assert_free, assert_left, assert_refused
from tests.clients.client import WORDS, Client

CLIENT = "anthropic_python"


def test_a_message_has_the_alias_as_its_model(client: Client) -> None:
    outcome = client.run("message")
    assert outcome.got == {"model": "claude", "text": WORDS, "stop": "end_turn"}
    assert outcome.sent["model"] == "claude-sonnet-4-5"
    assert_billed(outcome, "claude")


def test_the_vendors_own_example_runs_with_two_environment_variables(client: Client) -> None:
    outcome = client.run("environment_alone")
    assert outcome.got == f"{WORDS}\n"
    assert_billed(outcome, "claude")


def test_the_key_may_be_a_bearer_token(client: Client) -> None:
    outcome = client.run("bearer")
    assert outcome.got == WORDS
    assert outcome.received[0].header("authorization") is None
    assert_billed(outcome, "claude")


def test_a_stream_is_gathered_with_its_usage(client: Client) -> None:
    outcome = client.run("stream")
    assert outcome.got == {"text": WORDS, "model": "claude", "output": 12}
    assert_billed(outcome, "claude")


def test_every_event_of_a_stream_arrives(client: Client) -> None:
    outcome = client.run("raw_stream")
    assert [kind for kind in outcome.got["kinds"] if kind != "ping"] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert outcome.got["model"] == "claude"
    assert_billed(outcome, "claude")


def test_a_tool_is_called_and_its_result_is_answered(client: Client) -> None:
    outcome = client.run("tools", calls=2)
    assert outcome.got == {
        "name": "get_weather",
        "arguments": ["place", "celsius"],
        "stop": "tool_use",
        "text": WORDS,
    }
    assert_billed(outcome, "claude")


def test_a_streamed_tool_call_can_be_put_together(client: Client) -> None:
    outcome = client.run("tool_stream")
    assert outcome.got == ["place", "celsius"]
    assert_billed(outcome, "claude")


def test_an_image_is_billed(client: Client) -> None:
    outcome = client.run("vision")
    assert outcome.got["input"] > 85
    assert_billed(outcome, "claude")


def test_a_prompts_cache_is_written_then_read_and_billed_as_such(client: Client) -> None:
    first = client.run("cached")
    written = first.got["written"]
    assert written > 1000
    assert first.calls[0]["usage"]["cache_write_tokens"] == written
    assert_billed(first, "claude")
    second = client.run("cached", fault=f"cached_tokens={written}")
    assert second.got == {"written": 0, "read": written}
    assert second.calls[0]["usage"]["cached_input_tokens"] == written
    assert_billed(second, "claude")


def test_tokens_are_counted_for_nothing(client: Client) -> None:
    outcome = client.run("count")
    assert outcome.got > 0
    [line] = outcome.calls
    assert (line["key_id"], line["alias"], line["status"]) == ("app", "claude", 200)
    assert_free(outcome)


def test_async_calls_at_once_are_answered_and_billed(client: Client) -> None:
    outcome = client.run("acreate", calls=10, count=10)
    assert outcome.got == [WORDS] * 10
    assert_billed(outcome, "claude")


def test_a_stream_that_the_client_closes_is_charged(client: Client) -> None:
    outcome = client.run("cancelled", fault="token_delay_ms=100")
    assert outcome.got == 3
    assert_left(outcome, "claude")


def test_a_rate_limited_provider_is_asked_again_after_the_stated_time(client: Client) -> None:
    outcome = client.run("timed", fault="status=429,retry_after=1", times=1, calls=2)
    assert outcome.got["text"] == WORDS
    assert outcome.got["seconds"] >= 1
    assert outcome.bill["requests"] == 1


def test_an_overloaded_provider_is_asked_again(client: Client) -> None:
    outcome = client.run("timed", fault="status=529", times=1, calls=2)
    assert outcome.got["text"] == WORDS
    assert outcome.bill["requests"] == 1


def test_an_exhausted_budget_is_not_tried_again(client: Client) -> None:
    outcome = client.run("error", key="broke", max_retries=3)
    assert (outcome.got["class"], outcome.got["status"]) == ("RateLimitError", 429)
    assert_refused(outcome, "budget_exceeded", status=429)


def test_a_client_that_waits_too_little_times_out_by_itself(client: Client) -> None:
    outcome = client.run("error", fault="stall=before_headers", timeout=0.3, max_retries=0)
    assert outcome.got["class"] == "APITimeoutError"


REFUSED = [
    ("AuthenticationError", 401, "authentication_error", "invalid_api_key", {"key": "nobody"}),
    ("PermissionDeniedError", 403, "permission_error", "model_not_allowed", {"model": "secret"}),
    ("NotFoundError", 404, "not_found_error", "model_not_found", {"model": "claude-nothing"}),
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


FAILED = [
    ("BadRequestError", 400, "status=400"),
    ("RateLimitError", 429, "status=429"),
    ("InternalServerError", 500, "status=500"),
    ("InternalServerError", 502, "html_error=502"),
]


@pytest.mark.parametrize(("kind", "status", "fault"), FAILED, ids=[f[2] for f in FAILED])
def test_a_failure_of_the_provider_is_the_sdks_own_exception(
    client: Client, kind: str, status: int, fault: str
) -> None:
    outcome = client.run("error", fault=fault, max_retries=0)
    assert (outcome.got["class"], outcome.got["status"]) == (kind, status)
    assert outcome.got["type"]
    assert_free(outcome)


def test_models_are_listed_by_alias(client: Client) -> None:
    outcome = client.run("models")
    assert "claude" in outcome.got
