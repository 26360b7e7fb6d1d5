"""langchain-openai."""

from __future__ import annotations

import pytest

from tests.clients.billed import assert_billed, assert_refused
from tests.clients.client import WORDS, Client

CLIENT = "langchain_openai_sdk"


def test_an_answer_has_the_alias_as_its_model(client: Client) -> None:
    outcome = client.run("invoke")
    assert outcome.got == {"text": WORDS, "model": "chat"}
    assert_billed(outcome, "chat")


def test_a_stream_counts_its_tokens(client: Client) -> None:
    outcome = client.run("stream")
    assert outcome.got == {"text": WORDS, "output": 12}
    assert_billed(outcome, "chat")


def test_the_async_stream_has_the_same_text(client: Client) -> None:
    outcome = client.run("astream")
    assert outcome.got == WORDS
    assert_billed(outcome, "chat")


def test_a_batch_is_answered_and_billed_call_by_call(client: Client) -> None:
    outcome = client.run("abatch", calls=8, count=8)
    assert outcome.got == [WORDS] * 8
    assert_billed(outcome, "chat")


def test_a_tool_is_called_and_its_result_is_answered(client: Client) -> None:
    outcome = client.run("tools", calls=2)
    assert outcome.got == {
        "name": "get_weather",
        "arguments": ["place", "celsius"],
        "text": WORDS,
    }
    assert_billed(outcome, "chat")


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_structured_output_keeps_the_order_of_its_fields(client: Client, method: str) -> None:
    outcome = client.run("structured", method=method)
    assert outcome.got == ["zeta", "alpha", "mid"]
    places = [
        outcome.received[0].body.index(b'"%s"' % name) for name in (b"zeta", b"alpha", b"mid")
    ]
    assert places == sorted(places)
    assert_billed(outcome, "chat")


def test_an_image_part_is_billed(client: Client) -> None:
    outcome = client.run("vision")
    assert outcome.got["input"] > 85
    assert_billed(outcome, "chat")


def test_the_responses_api_can_be_chosen(client: Client) -> None:
    outcome = client.run("responses")
    assert outcome.got == {"text": WORDS, "output": 12}
    assert_billed(outcome, "responses")


def test_a_model_that_does_not_exist_is_an_error_of_openais_sdk(client: Client) -> None:
    outcome = client.run("error")
    assert outcome.got["code"] == "model_not_found"
    assert_refused(outcome, "model_not_found", status=404)


def test_embeddings_are_made_and_billed(client: Client) -> None:
    outcome = client.run("embed")
    assert outcome.got == [8, 8]
    assert_billed(outcome, "embed")
