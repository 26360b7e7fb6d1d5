"""llama-index's OpenAI-like model."""

from __future__ import annotations

from tests.clients.billed import assert_billed, assert_refused
from tests.clients.client import WORDS, Client

CLIENT = "llama_index_sdk"


def test_a_chat_is_answered_by_the_alias(client: Client) -> None:
    outcome = client.run("chat")
    assert outcome.got == {"text": WORDS, "model": "chat"}
    assert_billed(outcome, "chat")


def test_a_completion_is_carried_by_the_chat_endpoint(client: Client) -> None:
    outcome = client.run("complete")
    assert outcome.got == WORDS
    assert_billed(outcome, "chat")


def test_a_chat_streams(client: Client) -> None:
    outcome = client.run("stream")
    assert outcome.got == WORDS
    assert_billed(outcome, "chat")


def test_a_chat_streams_asynchronously(client: Client) -> None:
    outcome = client.run("astream")
    assert outcome.got == WORDS
    assert_billed(outcome, "chat")


def test_a_tool_is_called(client: Client) -> None:
    outcome = client.run("tools")
    assert outcome.got.startswith("18 degrees in ")
    assert_billed(outcome, "chat")


def test_structured_output_keeps_the_order_of_its_fields(client: Client) -> None:
    outcome = client.run("structured")
    assert outcome.got == ["zeta", "alpha"]
    body = outcome.received[0].body
    assert body.index(b'"zeta"') < body.index(b'"alpha"')
    assert_billed(outcome, "chat")


def test_an_image_block_is_billed(client: Client) -> None:
    outcome = client.run("vision")
    assert outcome.got["input"] > 85
    assert_billed(outcome, "chat")


def test_a_failed_provider_is_asked_again(client: Client) -> None:
    outcome = client.run("retried", fault="status=500", times=1, calls=2)
    assert outcome.got == WORDS
    assert [line["status"] for line in outcome.calls] == [500, 200]


def test_a_model_that_does_not_exist_is_an_error_of_openais_sdk(client: Client) -> None:
    outcome = client.run("error")
    assert outcome.got == {"class": "NotFoundError", "code": "model_not_found"}
    assert_refused(outcome, "model_not_found", status=404)


def test_embeddings_are_made_and_billed(client: Client) -> None:
    outcome = client.run("embed")
    assert outcome.got == [8, 8]
    assert_billed(outcome, "embed")
