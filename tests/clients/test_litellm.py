"""LiteLLM's SDK."""

from __future__ import annotations

import json

import pytest

from tests.clients.billed import assert_billed, assert_refused
from tests.clients.client import WORDS, Client

CLIENT = "litellm_sdk"


def test_an_answer_has_the_alias_as_its_model(client: Client) -> None:
    outcome = client.run("completion")
    assert outcome.got == {"model": "chat", "text": WORDS}
    assert_billed(outcome, "chat")


def test_a_stream_has_the_same_text(client: Client) -> None:
    outcome = client.run("stream")
    assert outcome.got == WORDS
    assert_billed(outcome, "chat")


def test_an_async_call_is_answered(client: Client) -> None:
    outcome = client.run("acompletion")
    assert outcome.got == WORDS
    assert_billed(outcome, "chat")


def test_a_tool_is_called(client: Client) -> None:
    outcome = client.run("tools")
    assert outcome.got["name"] == "get_weather"
    assert list(json.loads(outcome.got["arguments"])) == ["place", "celsius"]
    assert_billed(outcome, "chat")


def test_a_failed_provider_is_asked_again(client: Client) -> None:
    outcome = client.run("retried", fault="status=500", times=1, calls=2)
    assert outcome.got == WORDS
    assert [line["status"] for line in outcome.calls] == [500, 200]


REFUSED = [
    ("AuthenticationError", 401, "invalid_api_key", {"key": "nobody"}),
    # LiteLLM has a class of its own for few statuses.
    ("APIError", 403, "model_not_allowed", {"model": "openai/secret"}),
    ("NotFoundError", 404, "model_not_found", {"model": "openai/gpt-nothing"}),
    ("RateLimitError", 429, "budget_exceeded", {"key": "broke"}),
]


@pytest.mark.parametrize(("kind", "status", "code", "asked"), REFUSED, ids=[r[2] for r in REFUSED])
def test_a_refusal_is_the_librarys_own_exception(
    client: Client, kind: str, status: int, code: str, asked: dict[str, str]
) -> None:
    outcome = client.run("error", **asked)
    assert outcome.got == {"class": kind, "status": status}
    assert_refused(outcome, code, status=status)


def test_embeddings_are_made_and_billed(client: Client) -> None:
    outcome = client.run("embedding")
    assert outcome.got == [8, 8]
    assert_billed(outcome, "embed")


def test_the_responses_api_is_answered(client: Client) -> None:
    outcome = client.run("responses")
    assert outcome.got == WORDS
    assert_billed(outcome, "responses")


def test_anthropics_messages_are_answered(client: Client) -> None:
    outcome = client.run("messages")
    assert outcome.got == WORDS
    assert_billed(outcome, "claude")


def test_documents_are_ranked_and_billed_by_search(client: Client) -> None:
    outcome = client.run("rerank")
    assert sorted(outcome.got) == [0, 1]
    assert_billed(outcome, "rerank")
