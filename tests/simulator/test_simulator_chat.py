"""Chat completions and models, as api.openai.com answers them."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from email.utils import parsedate_to_datetime
from typing import Any

import openai
import pytest

from tests.simulator.simulator_process import HELLO, HELLO_TOKENS, KEY, Simulator

TWELVE_WORDS = "".join(f"tok{number} " for number in range(1, 13))
TOOLS = [{"type": "function", "function": {"name": "look_up", "parameters": {}}}]
USAGE = {
    "prompt_tokens": HELLO_TOKENS,
    "completion_tokens": 12,
    "total_tokens": HELLO_TOKENS + 12,
    "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
    "completion_tokens_details": {
        "reasoning_tokens": 0,
        "audio_tokens": 0,
        "accepted_prediction_tokens": 0,
        "rejected_prediction_tokens": 0,
    },
}


@pytest.fixture
def client(simulator: Simulator) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{simulator.url}/v1", api_key=KEY, max_retries=0) as client:
        yield client


@pytest.fixture
async def async_client(simulator: Simulator) -> AsyncIterator[openai.AsyncOpenAI]:
    url = f"{simulator.url}/v1"
    async with openai.AsyncOpenAI(base_url=url, api_key=KEY, max_retries=0) as client:
        yield client


def events(simulator: Simulator, simulate: str = "", **fields: Any) -> list[dict[str, Any]]:
    answer = simulator.chat(simulate, stream=True, **fields)
    lines = [line for line in answer.text.split("\n\n") if line]
    assert lines.pop() == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines]


def test_a_completion_has_every_field_of_the_real_answer_in_its_order(simulator):
    answer = simulator.chat()
    assert answer.status_code == 200
    body = answer.json()
    assert re.fullmatch(r"chatcmpl-[0-9A-Za-z]{29}", body["id"])
    assert abs(body["created"] - answer_time(answer)) <= 2
    expected = {
        "id": body["id"],
        "object": "chat.completion",
        "created": body["created"],
        "model": "gpt-4o-mini",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": TWELVE_WORDS,
                    "refusal": None,
                    "annotations": [],
                },
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": USAGE,
        "service_tier": "default",
        "system_fingerprint": body["system_fingerprint"],
    }
    assert answer.text == json.dumps(expected, indent=2) + "\n"


def answer_time(answer: Any) -> float:
    return parsedate_to_datetime(answer.headers["date"]).timestamp()


def test_the_headers_are_those_of_the_provider_and_its_cdn(simulator):
    headers = simulator.chat().headers
    assert headers["server"] == "cloudflare"
    assert headers["content-type"] == "application/json"
    assert "__cf_bm=" in headers["set-cookie"]
    assert headers["x-request-id"].startswith("req_")
    assert {
        "openai-organization",
        "openai-processing-ms",
        "openai-version",
        "cf-ray",
        "x-ratelimit-limit-requests",
        "x-ratelimit-remaining-tokens",
        "x-ratelimit-reset-tokens",
    } <= set(headers)


def test_a_stream_says_role_words_finish_and_done(simulator):
    chunks = events(simulator)
    first, *words, last = chunks
    assert {(chunk["id"], chunk["created"]) for chunk in chunks} == {
        (first["id"], first["created"])
    }
    assert first["object"] == "chat.completion.chunk"
    assert first["choices"] == [
        {
            "index": 0,
            "delta": {"role": "assistant", "content": "", "refusal": None},
            "logprobs": None,
            "finish_reason": None,
        }
    ]
    assert "".join(chunk["choices"][0]["delta"]["content"] for chunk in words) == TWELVE_WORDS
    assert len(words) == 12
    assert last["choices"] == [{"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}]


def test_a_stream_has_no_usage_key_unless_asked(simulator):
    assert not any("usage" in chunk for chunk in events(simulator))


def test_asked_for_usage_is_null_but_in_a_last_chunk_without_choices(simulator):
    *chunks, last = events(simulator, stream_options={"include_usage": True})
    assert [chunk["usage"] for chunk in chunks] == [None] * 14
    assert last["choices"] == []
    assert last["usage"] == USAGE


def test_chunks_are_padded_unless_the_client_declines(simulator):
    assert all(chunk["obfuscation"] for chunk in events(simulator))
    plain = events(simulator, stream_options={"include_obfuscation": False})
    assert not any("obfuscation" in chunk for chunk in plain)


def test_events_are_sent_one_by_one_as_event_stream(simulator):
    answer = simulator.raw_chat(stream=True)
    assert "content-type: text/event-stream; charset=utf-8" in answer.head
    *chunks, end = answer.chunks
    assert [chunk.count(b"data: ") for chunk in chunks] == [1] * 15
    assert end == b""
    assert answer.body.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")


def test_several_choices_are_answered_and_charged(simulator):
    body = simulator.chat(n=3).json()
    assert [choice["index"] for choice in body["choices"]] == [0, 1, 2]
    assert {choice["message"]["content"] for choice in body["choices"]} == {TWELVE_WORDS}
    assert body["usage"]["completion_tokens"] == 36


def test_several_choices_are_streamed_in_turns(simulator):
    *chunks, last = events(simulator, n=2, stream_options={"include_usage": True})
    assert [chunk["choices"][0]["index"] for chunk in chunks] == [0, 1] * 14
    assert last["usage"]["completion_tokens"] == 24


@pytest.mark.parametrize("limit", ["max_tokens", "max_completion_tokens"])
def test_the_requests_limit_cuts_the_answer(simulator, limit):
    body = simulator.chat(**{limit: 3}).json()
    assert body["choices"][0]["message"]["content"] == "tok1 tok2 tok3 "
    assert body["choices"][0]["finish_reason"] == "length"
    assert body["usage"]["completion_tokens"] == 3


def test_a_limit_that_is_just_enough_cuts_nothing(simulator):
    assert simulator.chat(max_tokens=12).json()["choices"][0]["finish_reason"] == "stop"


def test_a_required_tool_is_called_with_json_arguments(simulator):
    choice = simulator.chat(tools=TOOLS, tool_choice="required").json()["choices"][0]
    (call,) = choice["message"]["tool_calls"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    assert call["function"]["name"] == "look_up"
    assert json.loads(call["function"]["arguments"]) == {"text": TWELVE_WORDS}


def test_a_tool_call_cut_by_the_limit_has_broken_arguments(simulator):
    answer = simulator.chat(tools=TOOLS, tool_choice="required", max_tokens=3).json()
    choice = answer["choices"][0]
    arguments = choice["message"]["tool_calls"][0]["function"]["arguments"]
    assert (choice["finish_reason"], arguments) == ("length", '{"text":"tok1 tok2 tok3 ')


def test_the_sdk_puts_a_streamed_tool_call_together(client):
    with client.chat.completions.stream(
        **HELLO, tools=TOOLS, tool_choice={"type": "function", "function": {"name": "look_up"}}
    ) as stream:
        message = stream.get_final_completion().choices[0].message
    assert message.tool_calls[0].function.name == "look_up"
    assert json.loads(message.tool_calls[0].function.arguments) == {"text": TWELVE_WORDS}


def test_the_sdk_reads_a_completion(client):
    completion = client.chat.completions.create(**HELLO)
    assert completion.choices[0].message.content == TWELVE_WORDS
    assert completion.usage.total_tokens == HELLO_TOKENS + 12


def test_the_sdk_reads_a_stream(client):
    stream = client.chat.completions.create(
        **HELLO, stream=True, stream_options={"include_usage": True}
    )
    with stream:
        chunks = list(stream)
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == TWELVE_WORDS
    assert chunks[-1].usage.completion_tokens == 12


async def test_the_async_sdk_reads_a_completion_and_a_stream(async_client):
    completion = await async_client.chat.completions.create(**HELLO)
    assert completion.choices[0].message.content == TWELVE_WORDS
    async with await async_client.chat.completions.create(**HELLO, stream=True) as stream:
        chunks = [chunk async for chunk in stream]
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == TWELVE_WORDS


@pytest.mark.parametrize(
    ("content", "tokens"),
    [
        ("", 0),
        ("abcde", 2),
        ("é" * 4, 2),
        ([{"type": "text", "text": "abcde"}, {"type": "text", "text": "fgh"}], 2),
        ([{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}], 85),
        (None, 0),
        ("\ud83d", 1),
    ],
)
def test_prompt_tokens_follow_from_the_messages(simulator, content, tokens):
    message = {"role": "user", "content": content}
    usage = simulator.chat(messages=[message, message]).json()["usage"]
    assert usage["prompt_tokens"] == 3 + 2 * (4 + tokens)


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"model": None}, None, None),
        ({"model": ""}, None, None),
        ({"model": 7}, "model", "invalid_type"),
        ({"messages": None}, "messages", "missing_required_parameter"),
        ({"messages": "hi"}, "messages", "invalid_type"),
        ({"messages": []}, "messages", "empty_array"),
        ({"messages": ["hi"]}, "messages[0]", "invalid_type"),
        (
            {"max_tokens": 1, "max_completion_tokens": 1},
            "max_tokens",
            "invalid_parameter_combination",
        ),
        ({"stream_options": {"include_usage": True}}, "stream_options", None),
        ({"stream": True, "stream_options": 1}, "stream_options", "invalid_type"),
        ({"stream": "yes"}, "stream", "invalid_type"),
        ({"max_tokens": 0}, "max_tokens", "integer_below_min_value"),
        ({"max_tokens": True}, "max_tokens", "invalid_type"),
        ({"n": 129}, "n", "integer_above_max_value"),
        ({"n": 1.5}, "n", "invalid_type"),
    ],
)
def test_a_faulty_request_is_refused_as_the_real_api_does(simulator, fields, param, code):
    answer = simulator.chat(**fields)
    error = answer.json()["error"]
    assert answer.status_code == 400
    assert list(error) == ["message", "type", "param", "code"]
    assert error["type"] == "invalid_request_error"
    assert (error["param"], error["code"]) == (param, code)
    assert simulator.control("bill")["requests"] == 0


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_json_object_is_refused(simulator, body):
    headers = {"authorization": f"Bearer {KEY}"}
    answer = simulator.http.post("/v1/chat/completions", content=body, headers=headers)
    assert answer.status_code == 400
    message = answer.json()["error"]["message"]
    assert message.startswith("We could not parse the JSON body of your request.")


def test_the_message_for_two_limits_is_the_real_one(simulator):
    answer = simulator.chat(max_tokens=1, max_completion_tokens=1)
    expected = "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported."
    assert answer.json()["error"]["message"] == expected


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"api-key": KEY}, 200),  # as Azure OpenAI takes it
        ({"api-key": "x"}, 401),
        ({"authorization": "Bearer x", "api-key": KEY}, 401),
        ({"authorization": KEY}, 401),
    ],
)
def test_the_key_is_a_bearer_token_or_in_azures_header(simulator, headers, status):
    answer = simulator.http.post("/v1/chat/completions", json=HELLO, headers=headers)
    assert answer.status_code == status


def test_a_wrong_key_is_refused_and_shown_masked(simulator):
    answer = simulator.chat(key="sk-proj-wrong-key-of-some-length")
    assert answer.status_code == 401
    assert answer.json()["error"] == {
        "message": "Incorrect API key provided: sk-proj-********************ngth. You can find "
        "your API key at https://platform.openai.com/account/api-keys.",
        "type": "invalid_request_error",
        "param": None,
        "code": "invalid_api_key",
    }


@pytest.mark.parametrize("key", ["x", "ab", "abc", "sk-12", "sk-123456789"])
def test_a_short_wrong_key_is_shown_by_half_at_most(simulator, key):
    message = simulator.chat(key=key).json()["error"]["message"]
    shown = message.removeprefix("Incorrect API key provided: ").split(". You can")[0]
    assert len(shown) == len(key)
    assert shown.count("*") >= len(key) / 2


def test_a_missing_key_is_refused(simulator):
    answer = simulator.chat(key=None)
    assert answer.status_code == 401
    assert answer.json()["error"]["message"].startswith("You didn't provide an API key.")


def test_every_key_of_the_file_is_accepted(simulator):
    assert simulator.chat(key="sk-another-provider-key-0002").status_code == 200


def test_models_are_listed_and_found(client):
    names = [model.id for model in client.models.list()]
    assert "gpt-4o-mini" in names
    assert client.models.retrieve("gpt-4o-mini").object == "model"


def test_unknown_paths_and_methods_are_refused_in_the_real_words(simulator):
    headers = {"authorization": f"Bearer {KEY}"}
    unknown = simulator.http.post("/v1/images", headers=headers)
    assert unknown.status_code == 404
    assert unknown.json()["error"]["message"] == "Invalid URL (POST /v1/images)"
    wrong = simulator.http.get("/v1/chat/completions", headers=headers)
    assert wrong.status_code == 405


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, openai.BadRequestError),
        (401, openai.AuthenticationError),
        (403, openai.PermissionDeniedError),
        (404, openai.NotFoundError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
        (503, openai.InternalServerError),
    ],
)
def test_the_sdk_raises_its_own_class_for_each_status(client, status, error):
    with pytest.raises(error) as caught:
        client.chat.completions.create(**HELLO, extra_headers={"x-simulate": f"status={status}"})
    assert caught.value.status_code == status
