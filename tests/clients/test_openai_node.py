"""OpenAI's Node SDK."""

from __future__ import annotations

import pytest

from tests.clients.billed import assert_billed, assert_free, assert_left, assert_refused
from tests.clients.client import WORDS, Client

CLIENT = "openai_node"


def test_an_answer_has_the_alias_as_its_model(client: Client) -> None:
    outcome = client.run("chat")
    assert outcome.got == {"model": "chat", "text": WORDS}
    assert_billed(outcome, "chat")


def test_a_stream_has_the_alias_in_every_chunk(client: Client) -> None:
    outcome = client.run("chatStream")
    assert outcome.got == {"models": ["chat"], "text": WORDS}
    assert_billed(outcome, "chat")


def test_a_stream_that_the_client_aborts_is_charged_by_estimate(client: Client) -> None:
    outcome = client.run("chatCancelled", fault="token_delay_ms=100")
    assert outcome.got == 3
    assert_left(outcome, "chat")


def test_the_helper_of_tools_calls_one_and_answers(client: Client) -> None:
    outcome = client.run("runTools", fault="tool_call", calls=2)
    assert outcome.got == {"text": WORDS, "asked": [["place", "celsius"]]}
    assert_billed(outcome, "chat")


def test_an_image_part_is_billed(client: Client) -> None:
    outcome = client.run("vision")
    assert outcome.got["input"] > 85
    assert_billed(outcome, "chat")


def test_structured_output_keeps_the_schemas_order(client: Client) -> None:
    outcome = client.run("structured")
    assert outcome.got == ["zeta", "alpha"]
    schema = outcome.sent["response_format"]["json_schema"]["schema"]
    assert list(schema["properties"]) == ["zeta", "alpha"]
    assert_billed(outcome, "chat")


def test_a_rate_limited_provider_is_asked_again_after_the_stated_time(client: Client) -> None:
    outcome = client.run("chatTimed", fault="status=429,retry_after=1", times=1, calls=2)
    assert outcome.got["text"] == WORDS
    assert outcome.got["seconds"] >= 1
    assert outcome.bill["requests"] == 1


def test_an_exhausted_budget_is_not_tried_again(client: Client) -> None:
    outcome = client.run("chatError", key="broke", maxRetries=3)
    assert outcome.got["class"] == "RateLimitError"
    assert_refused(outcome, "budget_exceeded", status=429)


def test_a_client_that_waits_too_little_times_out_by_itself(client: Client) -> None:
    outcome = client.run("chatError", fault="stall=before_headers", timeout=300, maxRetries=0)
    assert outcome.got["class"] == "APIConnectionTimeoutError"


REFUSED = [
    ("AuthenticationError", 401, "invalid_api_key", {"key": "nobody"}),
    ("PermissionDeniedError", 403, "model_not_allowed", {"model": "secret"}),
    ("NotFoundError", 404, "model_not_found", {"model": "gpt-nothing"}),
]


@pytest.mark.parametrize(("kind", "status", "code", "asked"), REFUSED, ids=[r[2] for r in REFUSED])
def test_a_refusal_is_the_sdks_own_exception(
    client: Client, kind: str, status: int, code: str, asked: dict[str, str]
) -> None:
    outcome = client.run("chatError", **asked)
    got = outcome.got
    assert (got["class"], got["status"], got["code"]) == (kind, status, code)
    assert_refused(outcome, code, status=status)


FAILED = [("BadRequestError", 400), ("RateLimitError", 429), ("InternalServerError", 500)]


@pytest.mark.parametrize(("kind", "status"), FAILED, ids=[str(f[1]) for f in FAILED])
def test_a_failure_of_the_provider_is_the_sdks_own_exception(
    client: Client, kind: str, status: int
) -> None:
    outcome = client.run("chatError", fault=f"status={status}", maxRetries=0)
    assert (outcome.got["class"], outcome.got["status"]) == (kind, status)
    assert_free(outcome)


def test_models_are_listed_and_retrieved_by_alias(client: Client) -> None:
    outcome = client.run("models", calls=2)
    assert "chat" in outcome.got["listed"]
    assert outcome.got["retrieved"] == "chat"


def test_embeddings_arrive_as_numbers(client: Client) -> None:
    outcome = client.run("embed")
    assert outcome.got == {"model": "embed", "lengths": [8, 8]}
    assert_billed(outcome, "embed")


def test_a_response_has_the_alias_as_its_model(client: Client) -> None:
    outcome = client.run("respond")
    assert outcome.got == {"model": "responses", "text": WORDS}
    assert_billed(outcome, "responses")


def test_a_streamed_response_runs_from_created_to_completed(client: Client) -> None:
    outcome = client.run("respondStream")
    assert outcome.got["kinds"][0] == "response.created"
    assert outcome.got["kinds"][-1] == "response.completed"
    assert outcome.got["text"] == WORDS
    assert_billed(outcome, "responses")


def test_a_sound_file_is_transcribed(client: Client) -> None:
    outcome = client.run("transcribe")
    assert outcome.got["text"]
    assert_billed(outcome, "transcribe")


def test_an_image_is_drawn(client: Client) -> None:
    outcome = client.run("draw")
    assert len(outcome.got["images"]) == 1
    assert_billed(outcome, "draw")
