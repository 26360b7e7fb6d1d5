"""The Responses API, as api.openai.com answers it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.simulator.simulator_process import KEY, Simulator, events_of

HELLO: dict[str, Any] = {"model": "gpt-5-mini", "input": "hello"}
HELLO_TOKENS = 3 + 4 + 2
TWELVE_WORDS = "".join(f"tok{number} " for number in range(1, 13))
SCHEMA = {
    "type": "object",
    "properties": {"zone": {"type": "string"}, "at": {"type": "integer"}},
    "required": ["zone", "at"],
    "additionalProperties": False,
}
WEATHER = {"type": "function", "name": "weather", "parameters": SCHEMA, "strict": True}


@pytest.fixture
def client(simulator: Simulator) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{simulator.url}/v1", api_key=KEY, max_retries=0) as client:
        yield client


def ask(simulator: Simulator, simulate: str = "", **fields: Any) -> Any:
    return simulator.post("/v1/responses", simulate, json=HELLO | fields)


def stream(simulator: Simulator, simulate: str = "", **fields: Any) -> list[tuple[str, Any]]:
    return events_of(ask(simulator, simulate, stream=True, **fields).text)


def test_a_response_has_the_fields_of_the_real_answer(simulator):
    body = ask(simulator).json()
    message = body["output"][0]
    assert body == {
        "id": body["id"],
        "object": "response",
        "created_at": body["created_at"],
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "model": "gpt-5-mini",
        "output": [
            {
                "id": message["id"],
                "type": "message",
                "status": "completed",
                "content": [
                    {
                        "type": "output_text",
                        "annotations": [],
                        "logprobs": [],
                        "text": TWELVE_WORDS,
                    }
                ],
                "role": "assistant",
            }
        ],
        "background": False,
        "instructions": None,
        "max_output_tokens": None,
        "max_tool_calls": None,
        "metadata": {},
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "prompt_cache_key": None,
        "reasoning": {"effort": None, "summary": None},
        "safety_identifier": None,
        "store": True,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}, "verbosity": "medium"},
        "tool_choice": "auto",
        "tools": [],
        "top_logprobs": 0,
        "top_p": 1.0,
        "truncation": "disabled",
        "user": None,
        "service_tier": "default",
        "usage": {
            "input_tokens": HELLO_TOKENS,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": 12,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": HELLO_TOKENS + 12,
        },
    }
    assert simulator.billed() == {"input_tokens": HELLO_TOKENS, "output_tokens": 12}


def test_what_the_request_sets_is_repeated(simulator):
    sent = {"instructions": "Be terse.", "metadata": {"a": "b"}, "temperature": 0.5}
    body = ask(simulator, **sent, reasoning={"effort": "low"}).json()
    assert {name: body[name] for name in sent} == sent
    assert body["reasoning"] == {"effort": "low", "summary": None}
    assert body["usage"]["input_tokens"] == HELLO_TOKENS + 4 + 3


def test_a_stream_has_the_documented_events_numbered_from_0(simulator):
    found = stream(simulator)
    assert [name for name, _ in found] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        *["response.output_text.delta"] * 12,
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [data["sequence_number"] for _, data in found] == list(range(20))
    assert all(name == data["type"] for name, data in found)
    assert (found[0][1]["response"]["status"], found[0][1]["response"]["usage"]) == (
        "in_progress",
        None,
    )
    assert found[-1][1]["response"]["usage"]["output_tokens"] == 12
    assert simulator.billed() == {"input_tokens": HELLO_TOKENS, "output_tokens": 12}


def test_the_sdk_reads_a_response_and_a_stream(client):
    response = client.responses.create(**HELLO)
    assert response.output_text == TWELVE_WORDS
    with client.responses.stream(**HELLO) as streamed:
        deltas = [event.delta for event in streamed if event.type == "response.output_text.delta"]
        final = streamed.get_final_response()
    assert "".join(deltas) == final.output_text == TWELVE_WORDS
    assert final.usage is not None
    assert final.usage.total_tokens == HELLO_TOKENS + 12


def test_the_sdk_reads_a_function_call(client):
    call = {"tools": [WEATHER], "tool_choice": {"type": "function", "name": "weather"}}
    response = client.responses.create(**HELLO, **call)
    (item,) = response.output
    assert (item.type, item.name, item.arguments) == (
        "function_call",
        "weather",
        '{"zone":"tok1","at":1}',
    )
    with client.responses.stream(**HELLO, **call) as streamed:
        final = streamed.get_final_response()
    assert final.output[0].arguments == '{"zone":"tok1","at":1}'


def test_structured_output_keeps_the_order_of_the_schema(client):
    text = {"format": {"type": "json_schema", "name": "w", "schema": SCHEMA, "strict": True}}
    assert client.responses.create(**HELLO, text=text).output_text == '{"zone":"tok1","at":1}'


def test_reasoning_is_an_item_of_its_own_and_part_of_the_output(simulator):
    body = ask(simulator, "reasoning_tokens=7,cached_tokens=4,cache_write_tokens=2").json()
    assert [item["type"] for item in body["output"]] == ["reasoning", "message"]
    assert body["usage"]["output_tokens"] == 19
    assert body["usage"]["output_tokens_details"] == {"reasoning_tokens": 7}
    assert body["usage"]["input_tokens_details"] == {"cached_tokens": 4, "cache_write_tokens": 2}
    names = [name for name, _ in stream(simulator, "reasoning_tokens=7")]
    assert names.count("response.output_item.done") == 2
    assert simulator.billed() == {
        "input_tokens": HELLO_TOKENS,
        "output_tokens": 19,
        "reasoning_tokens": 7,
    }


def test_a_limit_makes_it_incomplete(simulator):
    body = ask(simulator, "completion_tokens=40", max_output_tokens=16).json()
    assert (body["status"], body["usage"]["output_tokens"]) == ("incomplete", 16)
    assert body["incomplete_details"] == {"reason": "max_output_tokens"}
    found = stream(simulator, "completion_tokens=40", max_output_tokens=16)
    assert found[-1][0] == "response.incomplete"


def test_a_stored_response_can_be_read_deleted_and_continued(simulator, client):
    first = client.responses.create(**HELLO)
    assert client.responses.retrieve(first.id).output_text == TWELVE_WORDS
    second = client.responses.create(**HELLO, previous_response_id=first.id)
    assert second.previous_response_id == first.id
    assert second.usage is not None
    assert second.usage.input_tokens == HELLO_TOKENS + HELLO_TOKENS + 12
    client.responses.delete(first.id)
    gone = simulator.http.get(
        f"/v1/responses/{first.id}", headers={"authorization": f"Bearer {KEY}"}
    )
    assert gone.status_code == 404
    assert gone.json()["error"]["message"] == f"Response with id '{first.id}' not found."


def test_a_response_that_is_not_stored_is_not_there(client):
    unstored = client.responses.create(**HELLO, store=False)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(unstored.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.delete(unstored.id)


def test_in_the_background_the_answer_comes_before_the_usage(simulator, client):
    queued = client.responses.create(**HELLO, background=True)
    assert (queued.status, queued.usage, queued.output) == ("queued", None, [])
    assert simulator.billed() == {"input_tokens": HELLO_TOKENS, "output_tokens": 12}
    done = client.responses.retrieve(queued.id)
    assert (done.status, done.output_text) == ("completed", TWELVE_WORDS)


def test_an_unknown_previous_response_is_refused(simulator):
    answer = ask(simulator, previous_response_id="resp_nope")
    assert answer.status_code == 400
    assert answer.json()["error"] == {
        "message": "Previous response with id 'resp_nope' not found.",
        "type": "invalid_request_error",
        "param": "previous_response_id",
        "code": "previous_response_not_found",
    }


@pytest.mark.parametrize(("change", "param"), [({"input": None}, "input"), ({"input": 3}, "input")])
def test_a_wrong_input_is_refused_by_name(simulator, change, param):
    answer = ask(simulator, **change)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


def test_a_stream_can_fail_half_way(simulator, client):
    found = stream(simulator, "error_after=2")
    assert [name for name, _ in found[-3:]] == [
        "response.output_text.delta",
        "error",
        "response.failed",
    ]
    assert [data["sequence_number"] for _, data in found] == list(range(8))
    assert found[-1][1]["response"]["error"]["code"] == "server_error"
    assert simulator.billed()["output_tokens"] == 2
    headers = {"x-simulate": "error_after=2"}
    with client.responses.create(**HELLO, stream=True, extra_headers=headers) as failing:
        *_, error, failed = failing
    assert (error.type, error.code) == ("error", "server_error")
    assert failed.response.status == "failed"


def test_usage_can_be_nowhere(simulator):
    assert '"usage"' not in ask(simulator, "no_usage").text
    assert '"usage"' not in ask(simulator, "no_usage", stream=True).text


def test_the_tier_is_the_one_asked_for_unless_the_provider_has_another(simulator):
    assert ask(simulator, service_tier="flex").json()["service_tier"] == "flex"
    assert ask(simulator, "service_tier=default", service_tier="priority").json()[
        "service_tier"
    ] == ("default")
