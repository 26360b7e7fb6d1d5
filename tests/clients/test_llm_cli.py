"""The `llm` command."""

from __future__ import annotations

import json

from tests.clients.billed import assert_billed, assert_refused
from tests.clients.client import WORDS, Client

CLIENT = "llm_cli"


def test_a_prompt_is_answered(client: Client) -> None:
    outcome = client.run("prompt")
    assert outcome.got == {"status": 0, "text": f"{WORDS}\n", "error": ""}
    assert_billed(outcome, "chat")


def test_an_answer_streams(client: Client) -> None:
    outcome = client.run("stream")
    assert outcome.got == {"status": 0, "text": f"{WORDS}\n", "error": ""}
    assert outcome.sent["stream"] is True
    assert_billed(outcome, "chat")


def test_a_tool_is_called_and_its_result_is_answered(client: Client) -> None:
    outcome = client.run("tool", fault="tool_call", calls=2)
    assert outcome.got["text"].strip() == WORDS.strip()
    assert outcome.sent["messages"][-1]["role"] == "tool"
    assert_billed(outcome, "chat")


def test_a_schema_keeps_the_order_it_was_written_in(client: Client) -> None:
    outcome = client.run("schema")
    assert list(json.loads(outcome.got["text"])) == ["zeta", "alpha"]
    body = outcome.received[0].body
    assert body.index(b'"zeta"') < body.index(b'"alpha"')
    assert_billed(outcome, "chat")


def test_a_refusal_is_told_in_the_gateways_words(client: Client) -> None:
    outcome = client.run("error", key="broke")
    assert outcome.got["status"] == 1
    assert "The monthly budget of key broke is used up" in outcome.got["error"]
    assert_refused(outcome, "budget_exceeded", status=429)
