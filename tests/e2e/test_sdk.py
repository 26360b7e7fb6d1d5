"""What an application sees that talks to the gateway through OpenAI's own SDK."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import httpx
import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam

from tests.support.gateway import Gateway
from tollhouse.policy.compiler import load_snapshot

HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Say hello"}]
HELLO_TOKENS = 10  # 3 a prompt, 4 a message, 9 bytes of text
WORDS = "".join(f"tok{number} " for number in range(1, 13))
WEATHER: ChatCompletionToolParam = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}},
}


def simulate(directives: str) -> dict[str, str]:
    return {"x-simulate": directives}


# Answers


def test_a_chat_answer_has_text_and_usage(gateway: Gateway) -> None:
    answer = gateway.client("app").chat.completions.create(model="chat", messages=HELLO)
    assert answer.choices[0].message.content == WORDS
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (HELLO_TOKENS, 12)


async def test_the_async_client_works_as_well(gateway: Gateway) -> None:
    async with gateway.async_client("app") as client:
        answer = await client.chat.completions.create(model="chat", messages=HELLO)
    assert answer.choices[0].message.content == WORDS


def test_a_forced_tool_is_called_with_its_arguments(gateway: Gateway) -> None:
    answer = gateway.client("app").chat.completions.create(
        model="chat", messages=HELLO, tools=[WEATHER], tool_choice="required"
    )
    [call] = answer.choices[0].message.tool_calls or []
    assert call.type == "function"
    assert call.function.name == "weather"
    assert call.function.arguments.startswith('{"text":"tok1 ')


def test_a_streamed_tool_call_arrives_in_pieces(gateway: Gateway) -> None:
    chunks = gateway.client("app").chat.completions.create(
        model="chat", messages=HELLO, tools=[WEATHER], tool_choice="required", stream=True
    )
    calls = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or []]
    pieces = [call.function.arguments or "" for call in calls if call.function]
    assert len(pieces) > 10
    assert "".join(pieces).endswith('tok12 "}')


def test_embeddings_arrive_as_numbers_from_the_sdks_default_base64(gateway: Gateway) -> None:
    client = gateway.client("app")
    answer = client.embeddings.create(model="embed", input=["one", "two"])
    plain = client.embeddings.create(model="embed", input=["one", "two"], encoding_format="float")
    assert b'"base64"' in gateway.received()[0].body
    assert [len(one.embedding) for one in answer.data] == [8, 8]
    assert answer.data[0].embedding == pytest.approx(plain.data[0].embedding)


# Streams


def test_a_stream_arrives_in_many_chunks_and_every_chunk_has_a_choice(gateway: Gateway) -> None:
    stream = gateway.client("app").chat.completions.create(
        model="chat", messages=HELLO, stream=True
    )
    chunks = list(stream)
    assert len(chunks) > 12
    assert all(chunk.choices for chunk in chunks)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == WORDS


def test_usage_is_asked_of_the_provider_even_when_the_client_did_not(gateway: Gateway) -> None:
    list(gateway.client("app").chat.completions.create(model="chat", messages=HELLO, stream=True))
    assert b'"include_usage":true' in gateway.received()[0].body


def test_a_client_that_asks_for_usage_gets_its_chunk_last(gateway: Gateway) -> None:
    stream = gateway.client("app").chat.completions.create(
        model="chat", messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    *chunks, last = list(stream)
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)
    assert last.choices == []
    assert last.usage is not None
    assert (last.usage.prompt_tokens, last.usage.completion_tokens) == (HELLO_TOKENS, 12)


async def test_an_async_stream_hides_usage_in_the_same_way(gateway: Gateway) -> None:
    async with gateway.async_client("app") as client:
        stream = await client.chat.completions.create(model="chat", messages=HELLO, stream=True)
        chunks = [chunk async for chunk in stream]
    assert len(chunks) > 12
    assert all(chunk.choices for chunk in chunks)


def test_the_first_chunk_of_a_slow_stream_arrives_long_before_the_last(gateway: Gateway) -> None:
    started = time.monotonic()
    stream = gateway.client("app").chat.completions.create(
        model="chat", messages=HELLO, stream=True, extra_headers=simulate("token_delay_ms=100")
    )
    seconds = [time.monotonic() - started for _ in stream]
    assert seconds[0] < seconds[-1] / 2
    assert seconds[-1] > 1


# Models


def test_the_models_listed_are_exactly_those_the_key_may_call(gateway: Gateway) -> None:
    policy = load_snapshot(gateway.run_dir.parent / "policies")
    listed = [model.id for model in gateway.client("app").models.list()]
    assert listed == sorted(policy.keys["app"].models)
    assert "chat" in listed
    assert "secret-model" not in listed
    assert [model.id for model in gateway.client("narrow").models.list()] == ["chat"]


def test_a_model_is_retrieved_by_its_alias(gateway: Gateway) -> None:
    model = gateway.client("narrow").models.retrieve("chat")
    assert (model.id, model.object, model.owned_by) == ("chat", "model", "tollhouse")


def test_a_model_that_the_key_may_not_call_is_not_retrieved(gateway: Gateway) -> None:
    with pytest.raises(openai.PermissionDeniedError) as error:
        gateway.client("narrow").models.retrieve("embed")
    assert error.value.code == "model_not_allowed"


def test_a_model_that_does_not_exist_is_not_found(gateway: Gateway) -> None:
    with pytest.raises(openai.NotFoundError) as error:
        gateway.client("narrow").models.retrieve("gpt-nothing")
    assert error.value.code == "model_not_found"


# Errors


def _chat(key: str, model: str = "chat", **options: Any) -> Callable[[Gateway], object]:
    def call(gateway: Gateway) -> object:
        return gateway.client(key).chat.completions.create(model=model, messages=HELLO, **options)

    return call


ERRORS: list[tuple[type[openai.APIStatusError], int, str, str, str | None, Any]] = [
    (openai.AuthenticationError, 401, "invalid_api_key", "invalid_request_error", None,
     _chat("nobody")),
    (openai.AuthenticationError, 401, "key_expired", "invalid_request_error", None,
     _chat("expired")),
    (openai.PermissionDeniedError, 403, "key_blocked", "permission_error", None, _chat("blocked")),
    (openai.PermissionDeniedError, 403, "model_not_allowed", "permission_error", "model",
     _chat("narrow", "embed")),
    (openai.NotFoundError, 404, "model_not_found", "invalid_request_error", "model",
     _chat("app", "gpt-nothing")),
    (openai.BadRequestError, 400, "model_missing", "invalid_request_error", "model",
     lambda gateway: gateway.client("app").post(
         "/chat/completions", cast_to=object, body={"messages": HELLO})),
    (openai.RateLimitError, 429, "budget_exceeded", "insufficient_quota", None, _chat("broke")),
    (openai.InternalServerError, 502, "provider_error", "api_error", None,
     _chat("app", extra_headers=simulate("html_error=502"))),
    (openai.InternalServerError, 504, "provider_timeout", "api_error", None,
     _chat("app", extra_headers=simulate("stall=before_headers"))),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "status", "code", "error_type", "param", "call"), ERRORS, ids=[e[2] for e in ERRORS]
)
def test_a_refusal_is_the_sdks_own_exception_with_code_type_and_param(  # noqa: PLR0917
    gateway: Gateway,
    kind: type[openai.APIStatusError],
    status: int,
    code: str,
    error_type: str,
    param: str | None,
    call: Callable[[Gateway], object],
) -> None:
    with pytest.raises(openai.APIStatusError) as raised:
        call(gateway)
    error = raised.value
    assert type(error) is kind
    assert (error.status_code, error.code) == (status, code)
    assert (error.type, error.param) == (error_type, param)
    assert error.request_id == error.response.headers["x-request-id"]


def test_a_providers_own_error_reaches_the_client_as_the_provider_wrote_it(
    gateway: Gateway,
) -> None:
    with pytest.raises(openai.BadRequestError) as raised:
        _chat("app", temperature=1, extra_headers=simulate("status=400"))(gateway)
    assert raised.value.response.headers["x-tollhouse-decision"] == "provider_error"


def test_a_client_that_waits_too_little_times_out_by_itself(gateway: Gateway) -> None:
    with pytest.raises(openai.APITimeoutError):
        _chat("app", timeout=0.3, extra_headers=simulate("stall=before_headers"))(gateway)


def test_an_answer_that_the_provider_cuts_off_is_a_connection_error(gateway: Gateway) -> None:
    with pytest.raises(openai.APIConnectionError):
        _chat("app", extra_headers=simulate("abort_after=1"))(gateway)


def test_a_stream_that_the_provider_cuts_off_ends_in_an_error_not_in_silence(
    gateway: Gateway,
) -> None:
    stream = gateway.client("app").chat.completions.create(
        model="chat", messages=HELLO, stream=True, extra_headers=simulate("abort_after=3")
    )
    seen = []
    with pytest.raises((openai.APIError, httpx.RemoteProtocolError)):
        for chunk in stream:
            seen.append(chunk)
    assert len(seen) >= 3


# Retries


def _lines_of(gateway: Gateway, key: str) -> int:
    return sum(line.get("key_id") == key for line in gateway.log_lines())


def test_the_sdk_retries_a_rate_limit_of_the_provider_when_it_was_told_to(gateway: Gateway) -> None:
    client = gateway.client("app", max_retries=1)
    with pytest.raises(openai.RateLimitError) as raised:
        client.chat.completions.create(
            model="chat", messages=HELLO, extra_headers=simulate("status=429,retry_after=1")
        )
    assert raised.value.response.headers["retry-after"] == "1"
    assert len(gateway.received()) == 2


def test_a_rate_limit_of_the_gateway_tells_the_sdk_when_to_try_again(gateway: Gateway) -> None:
    for _ in range(2):
        answer = gateway.chat("one-request")
    assert answer.status_code == 429
    assert 1 <= int(answer.headers["retry-after"]) <= 62
    assert "x-should-retry" not in answer.headers


def test_the_sdk_retries_a_failed_provider(gateway: Gateway) -> None:
    client = gateway.client("app", max_retries=1)
    with pytest.raises(openai.InternalServerError):
        client.chat.completions.create(
            model="chat", messages=HELLO, extra_headers=simulate("status=500")
        )
    assert len(gateway.received()) == 2


def test_the_sdk_does_not_retry_an_exhausted_budget(gateway: Gateway) -> None:
    before = _lines_of(gateway, "broke")
    client = gateway.client("broke", max_retries=3)
    with pytest.raises(openai.RateLimitError) as raised:
        client.chat.completions.create(model="chat", messages=HELLO)
    assert raised.value.response.headers["x-should-retry"] == "false"
    gateway.log_line(str(raised.value.request_id))
    assert _lines_of(gateway, "broke") - before == 1
    assert gateway.received() == []
