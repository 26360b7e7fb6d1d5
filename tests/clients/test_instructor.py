"""instructor: structured output, whose order of properties is a part of the prompt."""

from __future__ import annotations

import re

import pytest

from tests.clients.billed import assert_billed
from tests.clients.client import Client, Outcome

CLIENT = "instructor_sdk"
FIELDS = ["zeta", "evidence", "alpha"]


def _order(outcome: Outcome) -> list[str]:
    """The properties in the schema, in the order of the bytes that reached the provider."""
    body = outcome.received[0].body.decode()
    found = re.findall(r'\\?"(zeta|evidence|text|alpha|where|because)\\?":\s*\{', body)
    return list(dict.fromkeys(found))


@pytest.mark.parametrize("mode", ["TOOLS", "JSON_SCHEMA"])
def test_the_schema_reaches_the_provider_in_the_models_own_order(client: Client, mode: str) -> None:
    outcome = client.run("create", mode=mode)
    assert outcome.got == {"fields": FIELDS, "model": "chat"}
    order = _order(outcome)
    assert [name for name in order if name in FIELDS] == FIELDS
    assert [name for name in order if name not in FIELDS] == ["where", "because"]
    assert_billed(outcome, "chat")


def test_a_schema_in_the_prompt_keeps_its_order_too(client: Client) -> None:
    outcome = client.run("in_prompt")
    assert outcome.got == ["zeta", "text", "alpha"]
    assert _order(outcome) == ["zeta", "text", "alpha"]
    assert_billed(outcome, "chat")


def test_a_partial_answer_streams_to_its_end(client: Client) -> None:
    outcome = client.run("partial")
    assert list(outcome.got) == FIELDS
    assert_billed(outcome, "chat")


def test_the_async_client_validates_too(client: Client) -> None:
    outcome = client.run("acreate")
    assert outcome.got == FIELDS
    assert_billed(outcome, "chat")


def test_an_answer_that_fails_its_validation_is_asked_for_once_more(client: Client) -> None:
    outcome = client.run("corrected", calls=2)
    assert outcome.got == ["zeta"]
    assert_billed(outcome, "chat")
