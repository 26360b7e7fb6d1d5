"""OpenAI's Python SDK."""

from __future__ import annotations

import json

import pytest

from tests.clients.billed import assert_billed, assert_free, assert_left, assert_refused
from tests.clients.client import WORDS, Client

CLIENT = "openai_python"


def test_an_answer_has_the_alias_as_its_model(client: Client) -> None:
    outcome = client.run("chat")
    assert outcome.got == {"model": "chat", "text": WORDS}
    assert outcome.sent["model"] == "gpt-4o-2024-11-20"
    assert_billed(outcome, "chat")


def test_the_vendors_own_example_runs_with_two_environment_variables(client: Client) -> None:
    outcome = client.run("environment_alone")
    assert outcome.got == f"{WORDS}\n"
    assert_billed(outcome, "chat")


def test_a_stream_has_the_alias_in_every_chunk_and_no_usage_unasked(client: Client) -> None:
    outcome = client.run("chat_stream")
    assert outcome.got == {"models": ["chat"], "text": WORDS, "usage": []}
    assert_billed(outcome, "chat")


def test_a_stream_that_asks_for_usage_ends_with_it(client: Client) -> None:
    outcome = client.run("chat_stream_usage")
    assert outcome.got == {"choices": 0, "output": 12}
    assert_billed(outcome, "chat")


def test_the_helper_of_streams_gathers_a_parsed_answer(client: Client) -> None:
    outcome = client.run("chat_stream_events")
    assert {"chunk", "content.delta", "content.done"} <= set(outcome.got["kinds"])
    assert set(outcome.got["parsed"]) == {"steps", "final_answer"}
    assert outcome.got["model"] == "chat"
    assert_billed(outcome, "chat")


def test_a_tool_is_called_and_its_result_is_answered(client: Client) -> None:
    outcome = client.run("tool_round_trip", calls=2)
    assert (outcome.got["name"], outcome.got["finish"]) == ("get_weather", "tool_calls")
    assert list(json.loads(outcome.got["arguments"])) == ["place", "celsius"]
    assert outcome.got["text"] == WORDS
    assert [message["role"] for message in outcome.sent["messages"]] == [
        "user",
        "assistant",
        "tool",
    ]
    assert_billed(outcome, "chat")


def test_a_streamed_tool_call_can_be_put_together(client: Client) -> None:
    outcome = client.run("tool_stream")
    assert outcome.got["name"] == "get_weather"
    assert list(json.loads(outcome.got["arguments"])) == ["place", "celsius"]
    assert_billed(outcome, "chat")


def test_an_image_part_reaches_the_provider_and_is_billed(client: Client) -> None:
    outcome = client.run("vision")
    assert outcome.got["input"] > 85
    assert outcome.sent["messages"][0]["content"][1]["type"] == "image_url"
    assert_billed(outcome, "chat")


def test_structured_output_is_parsed_and_its_properties_stay_in_order(client: Client) -> None:
    outcome = client.run("structured")
    assert set(outcome.got["parsed"]) == {"steps", "final_answer"}
    schema = outcome.sent["response_format"]["json_schema"]["schema"]
    assert list(schema["properties"]) == ["steps", "final_answer"]
    assert list(schema["$defs"]["Step"]["properties"]) == ["zeta", "alpha"]
    assert_billed(outcome, "chat")


def test_the_async_client_streams(client: Client) -> None:
    outcome = client.run("chat_async")
    assert outcome.got == WORDS
    assert_billed(outcome, "chat")


def test_twenty_calls_at_once_are_answered_and_billed_each_for_itself(client: Client) -> None:
    outcome = client.run("chat_concurrent", calls=20, count=20)
    assert outcome.got == {"texts": 1, "ids": 20, "output": 30 * 12}
    assert_billed(outcome, "chat")


def test_a_stream_that_the_client_closes_is_charged_and_says_that_it_is_estimated(
    client: Client,
) -> None:
    outcome = client.run("chat_cancelled", fault="token_delay_ms=100")
    assert outcome.got == 3
    assert_left(outcome, "chat")


def test_the_request_id_is_the_logs_and_nothing_names_the_provider(client: Client) -> None:
    outcome = client.run("raw_response")
    [line] = outcome.calls
    assert outcome.got["request_id"] == outcome.got["parsed_id"] == line["request_id"]
    assert outcome.got["provider"] == []
    assert_billed(outcome, "chat")


# Retries and timeouts


def test_a_rate_limited_provider_is_asked_again_after_the_stated_time(client: Client) -> None:
    outcome = client.run("chat_timed", fault="status=429,retry_after=1", times=1, calls=2)
    assert outcome.got["text"] == WORDS
    assert outcome.got["seconds"] >= 1
    assert [line["status"] for line in outcome.calls] == [429, 200]
    assert outcome.bill["requests"] == 1


def test_a_failed_provider_is_asked_again(client: Client) -> None:
    outcome = client.run("chat_timed", fault="status=503", times=2, calls=3)
    assert outcome.got["text"] == WORDS
    assert [line["status"] for line in outcome.calls] == [503, 503, 200]


def test_an_exhausted_budget_is_not_tried_again(client: Client) -> None:
    outcome = client.run("chat_error", key="broke", max_retries=3)
    assert outcome.got == {
        "class": "RateLimitError",
        "status": 429,
        "code": "budget_exceeded",
        "type": "insufficient_quota",
    }
    assert_refused(outcome, "budget_exceeded", status=429)


def test_a_client_that_waits_too_little_times_out_by_itself(client: Client) -> None:
    outcome = client.run("chat_error", fault="stall=before_headers", timeout=0.3, max_retries=0)
    assert outcome.got["class"] == "APITimeoutError"


# Errors

REFUSED = [
    ("AuthenticationError", 401, "invalid_api_key", {"key": "nobody"}),
    ("PermissionDeniedError", 403, "key_blocked", {"key": "blocked"}),
    ("PermissionDeniedError", 403, "model_not_allowed", {"model": "secret"}),
    ("NotFoundError", 404, "model_not_found", {"model": "gpt-nothing"}),
]


@pytest.mark.parametrize(("kind", "status", "code", "asked"), REFUSED, ids=[r[2] for r in REFUSED])
def test_a_refusal_is_the_sdks_own_exception(
    client: Client, kind: str, status: int, code: str, asked: dict[str, str]
) -> None:
    outcome = client.run("chat_error", **asked)
    assert (outcome.got["class"], outcome.got["status"], outcome.got["code"]) == (
        kind,
        status,
        code,
    )
    assert_refused(outcome, code, status=status)


FAILED = [
    ("BadRequestError", 400, "status=400"),
    ("RateLimitError", 429, "status=429"),
    ("InternalServerError", 500, "status=500"),
    ("InternalServerError", 502, "html_error=502"),
]


@pytest.mark.parametrize(("kind", "status", "fault"), FAILED, ids=[f[2] for f in FAILED])
def test_a_failure_of_the_provider_is_the_sdks_own_exception_and_free(
    client: Client, kind: str, status: int, fault: str
) -> None:
    outcome = client.run("chat_error", fault=fault, max_retries=0)
    assert (outcome.got["class"], outcome.got["status"]) == (kind, status)
    assert outcome.calls[0]["status"] == status
    assert_free(outcome)


def test_a_silent_provider_is_a_timeout_that_is_charged_by_estimate(client: Client) -> None:
    outcome = client.run("chat_error", fault="stall=before_headers", max_retries=0)
    assert (outcome.got["class"], outcome.got["code"]) == (
        "InternalServerError",
        "provider_timeout",
    )
    [line] = outcome.calls
    assert (line["status"], line["usage"]["usage_source"]) == (504, "estimated")


def test_a_stream_that_breaks_off_ends_in_an_error(client: Client) -> None:
    outcome = client.run("stream_error", fault="abort_after=3")
    assert outcome.got["seen"] >= 3
    assert outcome.got["class"] in {"APIError", "APIConnectionError", "RemoteProtocolError"}


def test_an_endpoint_whose_model_cannot_be_checked_is_refused(client: Client) -> None:
    outcome = client.run("unknown_endpoint")
    assert (outcome.got["class"], outcome.got["code"]) == (
        "PermissionDeniedError",
        "endpoint_not_allowed",
    )
    assert_refused(outcome, "endpoint_not_allowed", status=403)


# Models


def test_models_are_listed_and_retrieved_by_alias(client: Client) -> None:
    outcome = client.run("models", calls=2)
    assert "chat" in outcome.got["listed"]
    assert "secret" not in outcome.got["listed"]
    assert outcome.got["retrieved"] == "chat"
    assert outcome.received == []


# Embeddings


def test_embeddings_arrive_as_numbers_from_the_sdks_default_base64(client: Client) -> None:
    outcome = client.run("embed")
    assert outcome.sent["encoding_format"] == "base64"
    assert outcome.got["model"] == "embed"
    assert [len(vector) for vector in outcome.got["vectors"]] == [8, 8]
    assert_billed(outcome, "embed")


def test_embeddings_arrive_as_the_floats_that_were_asked_for(client: Client) -> None:
    outcome = client.run("embed", encoding_format="float")
    assert [len(vector) for vector in outcome.got["vectors"]] == [8, 8]
    assert_billed(outcome, "embed")
