"""Messages and count_tokens, as api.anthropic.com answers them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from anthropic.types import TextBlock, ToolUseBlock

from tests.simulator.simulator_process import KEY, VERSION, Simulator, events_of, running

HELLO: dict[str, Any] = {
    "model": "claude-simulated",
    "max_tokens": 100,
    "messages": [{"role": "user", "content": "hello"}],
}
HELLO_TOKENS = 3 + 4 + 2
TWELVE_WORDS = "".join(f"tok{number} " for number in range(1, 13))
WEATHER = {
    "name": "weather",
    "input_schema": {
        "type": "object",
        "properties": {"zone": {"type": "string"}, "at": {"type": "integer"}},
    },
}


@pytest.fixture
def client(simulator: Simulator) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=simulator.url, api_key=KEY, max_retries=0) as client:
        yield client


def ask(simulator: Simulator, simulate: str = "", **fields: Any) -> Any:
    return simulator.post("/v1/messages", simulate, json=HELLO | fields)


def stream(simulator: Simulator, simulate: str = "", **fields: Any) -> list[tuple[str, Any]]:
    return events_of(ask(simulator, simulate, stream=True, **fields).text)


def test_a_message_has_every_field_of_the_real_answer_in_its_order(simulator):
    answer = ask(simulator)
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    expected = {
        "id": body["id"],
        "type": "message",
        "role": "assistant",
        "model": "claude-simulated",
        "content": [{"type": "text", "text": TWELVE_WORDS}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": HELLO_TOKENS,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
            "output_tokens": 12,
            "service_tier": "standard",
        },
    }
    assert answer.text == json.dumps(expected, separators=(",", ":"))
    assert simulator.billed() == {"input_tokens": HELLO_TOKENS, "output_tokens": 12}


def test_the_headers_are_those_of_the_provider(simulator):
    headers = ask(simulator).headers
    assert headers["request-id"].startswith("req_")
    assert {
        "anthropic-organization-id",
        "anthropic-ratelimit-requests-limit",
        "anthropic-ratelimit-tokens-remaining",
        "anthropic-ratelimit-input-tokens-reset",
        "anthropic-ratelimit-output-tokens-limit",
    } <= set(headers)
    assert "openai-organization" not in headers


def test_a_stream_has_the_documented_events(simulator):
    found = stream(simulator)
    assert [name for name, _ in found] == [
        "message_start",
        "content_block_start",
        "ping",
        *["content_block_delta"] * 12,
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert all(name == data["type"] for name, data in found)
    start = found[0][1]["message"]
    assert start["content"] == []
    assert start["stop_reason"] is None
    assert start["usage"]["input_tokens"] == HELLO_TOKENS
    assert start["usage"]["cache_creation"] == {
        "ephemeral_5m_input_tokens": 0,
        "ephemeral_1h_input_tokens": 0,
    }
    assert start["usage"]["output_tokens"] == 1
    assert found[3][1]["delta"] == {"type": "text_delta", "text": "tok1 "}
    assert found[-2][1]["delta"] == {"stop_reason": "end_turn", "stop_sequence": None}
    assert found[-2][1]["usage"] == {
        "input_tokens": HELLO_TOKENS,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": 12,
    }
    assert simulator.billed() == {"input_tokens": HELLO_TOKENS, "output_tokens": 12}


def test_the_last_counts_can_be_of_the_output_only(simulator):
    assert stream(simulator, "usage_first")[-2][1]["usage"] == {"output_tokens": 12}


def test_marked_blocks_are_written_for_their_time_and_read_tokens_are_not(simulator):
    # 4 + 100 for five minutes; 4 + 50 for an hour; 5 and the closing 3 not at all.
    system = [{"type": "text", "text": "s" * 400, "cache_control": {"type": "ephemeral"}}]
    hour = {"type": "ephemeral", "ttl": "1h"}
    content = [
        {"type": "text", "text": "u" * 200, "cache_control": hour},
        {"type": "text", "text": "v" * 20},
    ]
    messages = [{"role": "user", "content": content}]
    usage = ask(simulator, system=system, messages=messages).json()["usage"]
    assert usage["cache_creation"] == {
        "ephemeral_5m_input_tokens": 104,
        "ephemeral_1h_input_tokens": 54,
    }
    assert usage["cache_creation_input_tokens"] == 158
    assert usage["input_tokens"] == 8
    assert simulator.billed() == {
        "input_tokens": 166,
        "cache_write_tokens": 104,
        "cache_write_1h_tokens": 54,
        "output_tokens": 12,
    }
    read = ask(simulator, "cached_tokens=104", system=system, messages=messages).json()["usage"]
    assert read["cache_read_input_tokens"] == 104
    assert read["cache_creation"] == {
        "ephemeral_5m_input_tokens": 0,
        "ephemeral_1h_input_tokens": 54,
    }
    assert simulator.billed() == {
        "input_tokens": 166,
        "cached_input_tokens": 104,
        "cache_write_1h_tokens": 54,
        "output_tokens": 12,
    }


def test_a_mark_on_the_request_writes_all_messages(simulator):
    usage = ask(simulator, cache_control={"type": "ephemeral"}).json()["usage"]
    assert (usage["cache_creation_input_tokens"], usage["input_tokens"]) == (6, 3)


def test_tokens_are_counted_free_of_charge(simulator, client):
    counted = client.messages.count_tokens(
        model="claude-simulated", messages=HELLO["messages"], system="be brief"
    )
    assert counted.input_tokens == HELLO_TOKENS + 4 + 2
    assert simulator.billed() == {}


def test_the_sdk_reads_a_message_and_a_stream(client):
    message = client.messages.create(**HELLO)
    assert isinstance(message.content[0], TextBlock)
    assert message.content[0].text == TWELVE_WORDS
    with client.messages.stream(**HELLO) as streamed:
        assert "".join(streamed.text_stream) == TWELVE_WORDS
        final = streamed.get_final_message()
    assert (final.usage.input_tokens, final.usage.output_tokens) == (HELLO_TOKENS, 12)
    assert final.stop_reason == "end_turn"


@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "weather"}])
def test_the_sdk_reads_a_called_tool_with_arguments_in_the_schemas_order(client, choice):
    message = client.messages.create(**HELLO, tools=[WEATHER], tool_choice=choice)
    assert message.stop_reason == "tool_use"
    block = message.content[0]
    assert isinstance(block, ToolUseBlock)
    assert (block.name, list(block.input)) == ("weather", ["zone", "at"])
    with client.messages.stream(**HELLO, tools=[WEATHER], tool_choice=choice) as streamed:
        final = streamed.get_final_message()
    assert final.content[0].input == {"zone": "tok1", "at": 1}


def test_a_tool_that_was_answered_is_not_called_again(simulator):
    first = ask(simulator, "tool_call", tools=[WEATHER]).json()
    (block,) = first["content"]
    messages = [
        *HELLO["messages"],
        {"role": "assistant", "content": first["content"]},
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": block["id"], "content": "rain"}],
        },
    ]
    assert block["type"] == "tool_use"
    second = ask(simulator, "tool_call", tools=[WEATHER], messages=messages).json()
    assert second["stop_reason"] == "end_turn"


def test_thinking_comes_first_and_is_counted_as_output(simulator, client):
    thinking = {"type": "enabled", "budget_tokens": 1024}
    body = ask(simulator, "reasoning_tokens=5", thinking=thinking).json()
    assert [block["type"] for block in body["content"]] == ["thinking", "text"]
    assert body["usage"]["output_tokens"] == 17
    assert body["usage"]["output_tokens_details"] == {"thinking_tokens": 5}
    assert simulator.billed()["reasoning_tokens"] == 5
    with client.messages.stream(**HELLO, thinking=thinking) as streamed:
        final = streamed.get_final_message()
    assert [block.type for block in final.content] == ["thinking", "text"]
    assert final.usage.output_tokens == 16


def test_a_limit_cuts_the_answer(simulator):
    body = ask(simulator, max_tokens=3).json()
    assert body["stop_reason"] == "max_tokens"
    assert body["content"][0]["text"] == "tok1 tok2 tok3 "


def test_structured_output_follows_the_schema(simulator):
    schema = WEATHER["input_schema"]
    config = {"format": {"type": "json_schema", "schema": schema}}
    text = ask(simulator, output_config=config).json()["content"][0]["text"]
    assert text == '{"zone":"tok1","at":1}'


@pytest.mark.parametrize(
    ("status", "kind", "error"),
    [
        (400, "invalid_request_error", anthropic.BadRequestError),
        (401, "authentication_error", anthropic.AuthenticationError),
        (403, "permission_error", anthropic.PermissionDeniedError),
        (404, "not_found_error", anthropic.NotFoundError),
        (429, "rate_limit_error", anthropic.RateLimitError),
        (500, "api_error", anthropic.InternalServerError),
        (529, "overloaded_error", anthropic.InternalServerError),
    ],
)
def test_errors_have_the_documented_type(simulator, client, status, kind, error):
    answer = ask(simulator, f"status={status}")
    assert answer.status_code == status
    assert list(answer.json()) == ["type", "error", "request_id"]
    assert answer.json()["error"]["type"] == kind
    with pytest.raises(error) as caught:
        client.messages.create(**HELLO, extra_headers={"x-simulate": f"status={status}"})
    assert caught.value.status_code == status


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"max_tokens": None}, "max_tokens: Field required"),
        ({"max_tokens": 0}, "max_tokens: must be greater than or equal to 1, got 0"),
        ({"max_tokens": "9"}, "max_tokens: Input should be a valid integer"),
        ({"model": None}, "model: Field required"),
        ({"messages": None}, "messages: Field required"),
        ({"messages": "hello"}, "messages: Input should be a valid list"),
        ({"messages": []}, "messages: at least one message is required"),
    ],
)
def test_a_wrong_body_is_refused_by_name(simulator, change, message):
    answer = ask(simulator, **change)
    assert answer.status_code == 400
    assert answer.json()["error"] == {"type": "invalid_request_error", "message": message}


@pytest.mark.parametrize(
    ("headers", "status", "message"),
    [
        ({"anthropic-version": VERSION}, 401, "x-api-key header is required"),
        ({"x-api-key": "sk-ant-wrong"}, 401, "invalid x-api-key"),
        ({"authorization": "Bearer sk-ant-wrong"}, 401, "invalid x-api-key"),
        ({"authorization": f"Bearer {KEY}"}, 400, "anthropic-version: header is required"),
        ({"x-api-key": KEY}, 400, "anthropic-version: header is required"),
    ],
)
def test_the_key_and_the_version_are_required(simulator, headers, status, message):
    answer = simulator.http.post("/v1/messages", json=HELLO, headers=headers)
    assert answer.status_code == status
    assert answer.json()["error"]["message"] == message


@pytest.mark.parametrize(("version", "status"), [(VERSION, 200), ("2026-10-21", 400)])
def test_sampling_parameters_are_refused_since_the_version_of_2026(simulator, version, status):
    headers = {"x-api-key": KEY, "anthropic-version": version}
    body = HELLO | {"temperature": 1.0}
    answer = simulator.http.post("/v1/messages", json=body, headers=headers)
    assert answer.status_code == status


def test_a_model_that_does_not_exist_is_not_found(tmp_path):
    with running(tmp_path, "--models", "claude-x") as simulator:
        answer = ask(simulator)
    assert answer.status_code == 404
    assert answer.json()["error"] == {
        "type": "not_found_error",
        "message": "model: claude-simulated",
    }


def test_a_stream_can_fail_half_way(simulator, client):
    found = stream(simulator, "error_after=3")
    assert [name for name, _ in found[-4:]] == [*["content_block_delta"] * 3, "error"]
    assert found[-1][1] == {
        "type": "error",
        "error": {"type": "overloaded_error", "message": "Overloaded"},
    }
    assert simulator.billed() == {"input_tokens": HELLO_TOKENS, "output_tokens": 3}
    headers = {"x-simulate": "error_after=3"}
    failing = client.messages.create(**HELLO, stream=True, extra_headers=headers)
    with failing, pytest.raises(anthropic.APIStatusError, match="Overloaded"):
        list(failing)


def test_usage_can_be_nowhere(simulator):
    assert "usage" not in ask(simulator, "no_usage").text
    assert "usage" not in ask(simulator, "no_usage", stream=True).text


def test_the_tier_can_be_another(simulator):
    usage = ask(simulator, "service_tier=priority").json()["usage"]
    assert usage["service_tier"] == "priority"
    assert simulator.control("exchanges")[-1]["service_tier"] == "priority"


def test_a_stream_can_stop_without_its_end(simulator):
    headers = {"x-api-key": KEY, "anthropic-version": VERSION, "x-simulate": "abort_after=2"}
    with pytest.raises(Exception, match="closed"):
        simulator.http.post("/v1/messages", json=HELLO | {"stream": True}, headers=headers)
    assert simulator.billed()["output_tokens"] == 2


def test_another_path_below_messages_is_not_found_in_anthropics_shape(simulator):
    answer = simulator.post("/v1/messages/batches", json={})
    assert answer.status_code == 404
    assert answer.json()["error"]["type"] == "not_found_error"
    assert simulator.http.get("/v1/messages", headers={"x-api-key": KEY}).status_code == 405
