"""langchain-anthropic."""

from __future__ import annotations

from tests.clients.billed import assert_billed, assert_refused
from tests.clients.client import WORDS, Client

CLIENT = "langchain_anthropic_sdk"


def test_an_answer_has_the_alias_as_its_model(client: Client) -> None:
    outcome = client.run("invoke")
    assert outcome.got == {"text": WORDS, "model": "claude"}
    assert_billed(outcome, "claude")


def test_a_stream_has_the_same_text(client: Client) -> None:
    outcome = client.run("stream")
    assert outcome.got == WORDS
    assert_billed(outcome, "claude")


def test_the_async_stream_has_the_same_text(client: Client) -> None:
    outcome = client.run("astream")
    assert outcome.got == WORDS
    assert_billed(outcome, "claude")


def test_a_tool_is_called_and_its_result_is_answered(client: Client) -> None:
    outcome = client.run("tools", calls=2)
    assert outcome.got == {
        "name": "get_weather",
        "arguments": ["place", "celsius"],
        "text": WORDS,
    }
    assert_billed(outcome, "claude")


def test_structured_output_keeps_the_order_of_its_fields(client: Client) -> None:
    outcome = client.run("structured")
    assert outcome.got == ["zeta", "alpha"]
    body = outcome.received[0].body
    assert body.index(b'"zeta"') < body.index(b'"alpha"')
    assert_billed(outcome, "claude")


def test_a_model_that_does_not_exist_is_an_error_of_anthropics_sdk(client: Client) -> None:
    outcome = client.run("error")
    assert outcome.got == {"status": 404, "type": "not_found_error"}
    assert_refused(outcome, "model_not_found", status=404)
