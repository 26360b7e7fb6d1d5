"""pydantic-ai."""

from __future__ import annotations

from tests.clients.billed import assert_billed, assert_refused
from tests.clients.client import WORDS, Client

CLIENT = "pydantic_ai_sdk"


def test_an_agent_answers(client: Client) -> None:
    outcome = client.run("run")
    assert outcome.got == {"text": WORDS, "output": 12}
    assert_billed(outcome, "chat")


def test_an_agent_streams(client: Client) -> None:
    outcome = client.run("stream")
    assert outcome.got == WORDS
    assert_billed(outcome, "chat")


def test_an_agent_calls_a_tool_and_answers_with_its_result(client: Client) -> None:
    outcome = client.run("tools", fault="tool_call", calls=2)
    assert outcome.got == {"text": WORDS, "asked": 1}
    assert_billed(outcome, "chat")


def test_structured_output_keeps_the_order_of_its_fields(client: Client) -> None:
    outcome = client.run("structured")
    assert outcome.got == ["zeta", "alpha"]
    body = outcome.received[0].body
    assert body.index(b'"zeta"') < body.index(b'"alpha"')
    assert_billed(outcome, "chat")


def test_an_image_is_billed(client: Client) -> None:
    outcome = client.run("vision")
    assert outcome.got["input"] > 85
    assert_billed(outcome, "chat")


def test_an_agent_on_the_responses_api_answers(client: Client) -> None:
    outcome = client.run("responses")
    assert outcome.got == WORDS
    assert_billed(outcome, "responses")


def test_an_agent_on_anthropics_messages_answers(client: Client) -> None:
    outcome = client.run("messages")
    assert outcome.got == WORDS
    assert_billed(outcome, "claude")


def test_a_model_that_does_not_exist_is_the_librarys_own_error(client: Client) -> None:
    outcome = client.run("error")
    assert outcome.got == {"status": 404, "code": "model_not_found"}
    assert_refused(outcome, "model_not_found", status=404)
