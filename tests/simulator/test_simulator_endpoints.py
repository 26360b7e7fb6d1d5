"""The smaller endpoints: completions, moderations, rerank, files, batches; and structured chats."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pydantic
import pytest

from tests.simulator.simulator_process import HELLO, HELLO_TOKENS, KEY, Simulator, events_of
from tollhouse.simulator.schema import example

WORDS = "tok1 tok2 tok3 "


class Inner(pydantic.BaseModel):
    zone: str
    counts: list[int]


class Outer(pydantic.BaseModel):
    zeta: Inner
    alpha: bool
    middle: float | None
    kind: str = pydantic.Field(json_schema_extra={"enum": ["b", "a"]})


@pytest.fixture
def client(simulator: Simulator) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{simulator.url}/v1", api_key=KEY, max_retries=0) as client:
        yield client


def complete(simulator: Simulator, simulate: str = "", **fields: Any) -> Any:
    body = {"model": "davinci-002", "prompt": "hello"} | fields
    return simulator.post("/v1/completions", simulate, json=body)


def test_a_legacy_completion_counts_its_prompt(simulator, client):
    completion = client.completions.create(model="davinci-002", prompt="hello")
    assert completion.object == "text_completion"
    assert completion.choices[0].text.startswith(WORDS)
    assert completion.usage is not None
    assert (completion.usage.prompt_tokens, completion.usage.completion_tokens) == (2, 12)
    assert simulator.billed() == {"input_tokens": 2, "output_tokens": 12}


@pytest.mark.parametrize(
    ("prompt", "tokens", "choices"),
    [("hello", 2, 2), (["hello", "hi"], 3, 4), ([1, 2, 3], 3, 2), ([[1, 2], [3]], 3, 4)],
)
def test_every_prompt_has_its_choices(simulator, prompt, tokens, choices):
    body = complete(simulator, prompt=prompt, n=2, max_tokens=3).json()
    assert [choice["index"] for choice in body["choices"]] == list(range(choices))
    assert {choice["text"] for choice in body["choices"]} == {WORDS}
    assert {choice["finish_reason"] for choice in body["choices"]} == {"length"}
    assert simulator.billed() == {"input_tokens": tokens, "output_tokens": 3 * choices}


def test_a_legacy_completion_streams_with_usage_on_demand(simulator):
    options = {"include_usage": True}
    found = events_of(complete(simulator, stream=True, stream_options=options).text)
    assert len(found) == 12 + 3
    assert found[-1][1] == "[DONE]"
    assert found[-2][1]["choices"] == []
    assert found[-2][1]["usage"]["completion_tokens"] == 12
    assert '"usage"' not in complete(simulator, stream=True).text


def test_nothing_is_flagged_and_moderation_is_free(simulator, client):
    answer = client.moderations.create(model="omni-moderation-latest", input=["a", "b"])
    assert [result.flagged for result in answer.results] == [False, False]
    assert simulator.billed() == {}
    assert simulator.control("bill")["by_model"]["omni-moderation-latest"]["requests"] == 1


def test_a_rerank_of_101_documents_is_two_search_units(simulator):
    body = {"model": "rerank-v3.5", "query": "q", "documents": ["d"] * 101, "top_n": 2}
    answer = simulator.post("/v1/rerank", json=body).json()
    assert [result["index"] for result in answer["results"]] == [0, 1]
    assert answer["meta"]["billed_units"] == {"search_units": 2}
    assert simulator.billed() == {"search_units": 2}
    assert "billed_units" not in simulator.post("/v1/rerank", "no_usage", json=body).text


def test_files_and_batches_can_be_kept_and_forgotten(client):
    file = client.files.create(file=("in.jsonl", b'{"a": 1}\n'), purpose="batch")
    assert (file.filename, file.bytes, file.purpose) == ("in.jsonl", 9, "batch")
    assert file.id in [one.id for one in client.files.list()]
    assert client.files.content(file.id).content == b'{"a": 1}\n'
    batch = client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    assert client.batches.retrieve(batch.id).status == "validating"
    assert client.batches.cancel(batch.id).status == "cancelling"
    assert batch.id in [one.id for one in client.batches.list()]
    assert client.files.delete(file.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(file.id)
    with pytest.raises(openai.NotFoundError):
        client.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
        )


def test_files_and_batches_are_free(simulator, client):
    client.files.create(file=("in.jsonl", b"{}"), purpose="batch")
    assert simulator.control("bill")["requests"] == 0


def test_the_sdk_parses_a_structured_chat_in_the_order_of_the_schema(client):
    completion = client.chat.completions.parse(**HELLO, response_format=Outer)
    message = completion.choices[0].message
    assert message.parsed == Outer(
        zeta=Inner(zone="tok1", counts=[1]), alpha=True, middle=1, kind="b"
    )
    assert list(json.loads(str(message.content))) == ["zeta", "alpha", "middle", "kind"]


def test_json_counts_eight_characters_a_token_also_in_a_stream(simulator):
    schema = {"type": "object", "properties": {"zone": {"type": "string"}}}
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    body = simulator.chat(response_format=wanted).json()
    assert body["choices"][0]["message"]["content"] == '{"zone":"tok1"}'
    assert body["usage"]["completion_tokens"] == 2
    found = events_of(simulator.chat(response_format=wanted, stream=True).text)
    texts = [chunk["choices"][0]["delta"].get("content", "") for _, chunk in found[:-1]]
    assert texts == ["", '{"zone":', '"tok1"}', ""]


def test_json_that_a_limit_cuts_is_no_json(simulator):
    cut = simulator.chat(response_format={"type": "json_object"}, max_tokens=1).json()
    assert cut["choices"][0]["message"]["content"] == '{"text":'
    assert cut["choices"][0]["finish_reason"] == "length"


def test_a_tool_has_arguments_that_fit_its_schema(simulator):
    parameters = Outer.model_json_schema()
    tool = {"type": "function", "function": {"name": "f", "parameters": parameters}}
    body = simulator.chat(tools=[tool], tool_choice="required").json()
    (call,) = body["choices"][0]["message"]["tool_calls"]
    assert Outer.model_validate_json(call["function"]["arguments"])


def test_a_tool_is_called_on_demand_until_it_was_answered(simulator):
    tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
    first = simulator.chat("tool_call", tools=[tool]).json()["choices"][0]
    assert first["finish_reason"] == "tool_calls"
    answered = [*HELLO["messages"], first["message"], {"role": "tool", "content": "42"}]
    second = simulator.chat("tool_call", tools=[tool], messages=answered).json()["choices"][0]
    assert second["finish_reason"] == "stop"


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": ["string", "null"]}, "tok1"),
        ({"const": 7}, 7),
        ({"type": "string", "format": "date"}, "2026-01-02"),
        ({"type": "string", "minLength": 6}, "tok1kk"),
        ({"type": "integer", "minimum": 5}, 5),
        ({"type": "array", "items": {"type": "boolean"}, "minItems": 2}, [True, True]),
        ({"anyOf": [{"type": "null"}, {"type": "string"}]}, None),
        ({"allOf": [{"type": "number"}]}, 1),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"enum": ["x"]}}}, "x"),
    ],
)
def test_an_example_fits_its_schema(schema, value):
    assert example(schema) == value


def test_a_schema_that_contains_itself_ends():
    tree = {"type": "object", "properties": {"next": {"$ref": "#"}}}
    assert json.dumps(example(tree)).count("next") > 1


def test_counts_of_audio_and_writes_are_reported_as_given(simulator):
    given = "input_audio_tokens=3,output_audio_tokens=4,cache_write_tokens=5,cached_tokens=2"
    usage = simulator.chat(given).json()["usage"]
    assert usage["prompt_tokens_details"] == {
        "cached_tokens": 2,
        "audio_tokens": 3,
        "cache_write_tokens": 5,
    }
    assert usage["completion_tokens_details"]["audio_tokens"] == 4
    assert simulator.billed() == {
        "input_tokens": HELLO_TOKENS,
        "cached_input_tokens": 2,
        "cache_write_tokens": 5,
        "input_audio_tokens": 3,
        "output_tokens": 12,
        "output_audio_tokens": 4,
    }


def test_a_chat_can_fail_half_way(simulator):
    text = simulator.chat("error_after=2", stream=True).text
    assert text.count("tok") == 2
    assert events_of(text)[-1][1]["error"]["type"] == "server_error"
    assert simulator.billed()["output_tokens"] == 2


def test_usage_can_come_unasked(simulator):
    found = events_of(simulator.chat("usage_always", stream=True).text)
    assert found[-2][1]["usage"]["completion_tokens"] == 12
