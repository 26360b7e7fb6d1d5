"""How each provider differs from OpenAI: quirks of answers, streams and errors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.simulator.simulator_process import HELLO, HELLO_TOKENS, Simulator, events_of, running
from tollhouse.simulator.quirks import QUIRKS

ASK_USAGE = {"stream": True, "stream_options": {"include_usage": True}}
PLAIN = {"prompt_tokens": HELLO_TOKENS, "total_tokens": HELLO_TOKENS + 12, "completion_tokens": 12}
NAMED = sorted(set(QUIRKS) - {"default"})


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    directory = tmp_path_factory.mktemp("quirks")
    options = []
    for name in NAMED:
        (directory / name).write_text(f"{name}-simulated-key")
        options += ["--provider", f"{name}={directory / name}"]
    with running(directory, "--record", *options, default=False) as simulator:
        yield simulator


@pytest.fixture
def ask(process: Simulator) -> Any:
    """Calls an endpoint of a provider with its key where it wants it."""
    process.http.delete("/_simulator/requests").raise_for_status()

    def call(name: str, simulate: str = "", path: str = "chat/completions", **fields: Any) -> Any:
        key = f"{name}-simulated-key"
        headers = {"x-simulate": simulate}
        if name == "azure":
            headers["api-key"] = key
        elif name != "ollama":
            headers["authorization"] = f"Bearer {key}"
        body = HELLO | fields if path.startswith("chat") else fields
        return process.http.post(f"/{name}/v1/{path}", json=body, headers=headers)

    return call


def chunks(answer: Any) -> list[Any]:
    text = "\n".join(line for line in answer.text.split("\n") if not line.startswith(":"))
    found = [data for _, data in events_of(text)]
    assert found.pop() == "[DONE]"
    return found


@pytest.mark.parametrize("name", NAMED)
def test_every_provider_answers_openais_sdk(process, name):
    class Client(openai.OpenAI):
        pass

    key = f"{name}-simulated-key"
    headers = {"api-key": key} if name == "azure" else {}
    with Client(base_url=f"{process.url}/{name}/v1", api_key=key, default_headers=headers) as sdk:
        completion = sdk.chat.completions.create(**HELLO)
        words = [
            chunk.choices[0].delta.content or ""
            for chunk in sdk.chat.completions.create(**HELLO, stream=True)
            if chunk.choices
        ]
    assert completion.usage is not None
    assert completion.usage.completion_tokens == 12
    assert "".join(words) == completion.choices[0].message.content


@pytest.mark.parametrize("name", NAMED)
def test_every_provider_bills_the_same_and_can_hide_its_usage(process, ask, name):
    assert "usage" not in ask(name, "no_usage").text
    assert "usage" not in ask(name, "no_usage", stream=True).text
    billed = {"input_tokens": HELLO_TOKENS, "output_tokens": 12}
    assert process.billed() == billed


@pytest.mark.parametrize("name", NAMED)
def test_every_quirk_names_its_source(name):
    assert "." in QUIRKS[name].source


@pytest.mark.parametrize("name", ["mistral", "together", "vllm", "ollama", "bedrock", "gemini"])
def test_usage_is_three_numbers(ask, name):
    assert ask(name).json()["usage"] == PLAIN


@pytest.mark.parametrize("name", ["mistral", "together"])
def test_usage_is_in_the_last_chunk_unasked(ask, name):
    found = chunks(ask(name, stream=True))
    assert found[-1]["choices"][0]["finish_reason"] == "stop"
    assert found[-1]["usage"] == PLAIN
    assert not any("usage" in chunk for chunk in found[:-1])


def test_mistral_refuses_what_it_does_not_know(ask):
    answer = ask("mistral", **ASK_USAGE)
    assert answer.status_code == 422
    assert answer.json() == {
        "object": "error",
        "message": {
            "detail": [
                {
                    "type": "extra_forbidden",
                    "loc": ["body", "stream_options", "include_usage"],
                    "msg": "Extra inputs are not permitted",
                    "input": True,
                }
            ]
        },
        "type": "invalid_request_error",
        "param": None,
        "code": None,
    }
    assert ask("mistral", max_completion_tokens=5).status_code == 422
    assert ask("mistral", max_tokens=5).status_code == 200


def test_mistral_names_what_is_missing(ask):
    answer = ask("mistral", messages=[])
    assert answer.status_code == 400
    without = ask("mistral", path="completions", model="m")
    assert without.status_code == 422
    (missing,) = without.json()["detail"]
    assert (missing["type"], missing["loc"]) == ("missing", ["body", "messages"])


def test_gemini_counts_reasoning_in_the_total_only(process, ask):
    usage = ask("gemini", "reasoning_tokens=7").json()["usage"]
    assert usage == PLAIN | {"total_tokens": HELLO_TOKENS + 19}
    found = chunks(ask("gemini", "reasoning_tokens=7", **ASK_USAGE))
    assert list(found[0]) == ["choices", "created", "id", "model", "object", "usage"]
    so_far = [chunk["usage"]["completion_tokens"] for chunk in found]
    assert so_far == [*range(13), 12]
    assert found[-1]["usage"] == usage
    assert process.billed()["output_tokens"] == 19
    assert "usage" not in ask("gemini", stream=True).text


def test_groq_has_usage_in_x_groq_and_again_when_asked(ask):
    found = chunks(ask("groq", stream=True))
    assert found[0]["x_groq"] == {"id": "req_simulated"}
    assert found[-1]["x_groq"]["usage"].items() >= PLAIN.items()
    assert "total_time" in found[-1]["x_groq"]["usage"]
    assert not any("usage" in chunk for chunk in found)
    asked = chunks(ask("groq", **ASK_USAGE))
    assert asked[-2]["x_groq"]["usage"] == asked[-1]["usage"]
    assert asked[-1]["choices"] == []


def test_deepseek_counts_hits_and_misses_and_keeps_alive(ask):
    answer = ask("deepseek", "cached_tokens=4")
    assert answer.text.startswith("\n\n\n{")
    usage = answer.json()["usage"]
    assert usage["prompt_cache_hit_tokens"] == 4
    assert usage["prompt_cache_miss_tokens"] == HELLO_TOKENS - 4
    streamed = ask("deepseek", **ASK_USAGE)
    assert streamed.text.startswith(": keep-alive\n\ndata: ")
    last = chunks(streamed)[-1]
    assert last["choices"][0]["finish_reason"] == "stop"
    assert last["usage"]["prompt_cache_miss_tokens"] == HELLO_TOKENS


def test_openrouter_says_who_answered_and_what_it_cost(ask):
    body = ask("openrouter").json()
    assert body["provider"] == "SimulatedInference"
    assert body["usage"]["cost"] == pytest.approx((HELLO_TOKENS + 12) / 1e6)
    streamed = ask("openrouter", stream=True)
    assert streamed.text.startswith(": OPENROUTER PROCESSING\n\ndata: ")
    found = chunks(streamed)
    assert {chunk["provider"] for chunk in found} == {"SimulatedInference"}
    assert found[-1]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert found[-1]["usage"]["cost"] == body["usage"]["cost"]


def test_xai_counts_reasoning_beside_the_completion(process, ask):
    usage = ask("xai", "reasoning_tokens=7").json()["usage"]
    assert (usage["completion_tokens"], usage["total_tokens"]) == (12, HELLO_TOKENS + 19)
    assert usage["completion_tokens_details"]["reasoning_tokens"] == 7
    assert chunks(ask("xai", "reasoning_tokens=7", **ASK_USAGE))[-1]["usage"] == usage
    assert process.billed()["output_tokens"] == 19


def test_azure_filters_the_prompt_in_a_first_chunk_without_choices(ask):
    body = ask("azure").json()
    safe = body["choices"][0]["content_filter_results"]
    assert safe["hate"] == {"filtered": False, "severity": "safe"}
    assert body["prompt_filter_results"] == [{"prompt_index": 0, "content_filter_results": safe}]
    first, second, *_ = chunks(ask("azure", stream=True))
    assert first["choices"] == []
    assert first["prompt_filter_results"] == body["prompt_filter_results"]
    assert second["choices"][0]["delta"]["role"] == "assistant"


@pytest.mark.parametrize(
    ("name", "status", "expected"),
    [
        ("mistral", 401, {"detail": "Unauthorized"}),
        ("mistral", 429, {"object": "error", "type": "rate_limited", "code": "1300"}),
        ("vllm", 400, {"object": "error", "type": "BadRequestError", "code": 400}),
        ("azure", 429, {"error": {"code": "429"}}),
        ("azure", 404, {"error": {"code": "DeploymentNotFound"}}),
        ("openrouter", 429, {"error": {"code": 429}, "user_id": "user_simulated"}),
        ("together", 500, {"id": "simulated"}),
    ],
)
def test_errors_have_the_providers_shape(ask, name, status, expected):
    body = ask(name, f"status={status}").json()
    assert len(json.dumps(body)) > len(json.dumps(expected)) or body == expected
    for field, value in expected.items():
        if isinstance(value, dict):
            assert body[field].items() >= value.items()
        else:
            assert body[field] == value


def test_geminis_errors_are_in_an_array(ask):
    (error,) = ask("gemini", "status=429").json()
    assert (error["error"]["code"], error["error"]["status"]) == (429, "RESOURCE_EXHAUSTED")


@pytest.mark.parametrize("name", ["bedrock", "cohere"])
def test_an_error_can_be_a_message_alone(ask, name):
    assert list(ask(name, "status=429").json()) == ["message"]


def test_ollamas_error_is_a_string(ask):
    assert isinstance(ask("ollama", "status=500").json()["error"], str)


def test_azures_refusals_have_an_inner_error(ask):
    error = ask("azure", "status=400").json()["error"]
    assert error["innererror"]["code"] == "ResponsibleAIPolicyViolation"
    assert error["status"] == 400


def test_openrouters_error_quotes_the_one_behind_it(ask):
    metadata = ask("openrouter", "status=503").json()["error"]["metadata"]
    assert metadata["provider_name"] == "SimulatedInference"
    assert json.loads(metadata["raw"])["error"]["type"] == "server_error"


@pytest.mark.parametrize(
    ("name", "kind", "usage"),
    [
        ("jina", "list", {"total_tokens": 5}),
        ("vllm", "list", {"total_tokens": 5}),
        (
            "together",
            "rerank",
            {"prompt_tokens": 5, "completion_tokens": 0, "total_tokens": 5},
        ),
    ],
)
def test_a_rerank_can_be_billed_by_tokens(process, ask, name, kind, usage):
    # Each document is read with the query: 1 + 1 and 1 + 2.
    request = {"model": "m", "query": "q", "documents": ["doc", {"text": "longer"}]}
    body = ask(name, path="rerank", **request).json()
    assert (body["object"], body["usage"]) == (kind, usage)
    assert [result["document"]["text"] for result in body["results"]] == ["doc", "longer"]
    assert process.billed() == {"input_tokens": 5}


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("azure", "x-ms-region"),
        ("groq", "x-groq-region"),
        ("mistral", "mistral-correlation-id"),
        ("bedrock", "x-amzn-requestid"),
        ("openrouter", "x-generation-id"),
    ],
)
def test_headers_are_the_providers(ask, name, header):
    headers = ask(name).headers
    assert header in headers
    assert "openai-organization" not in headers


def test_a_quirky_stream_still_fails_on_demand(process, ask):
    answer = ask("gemini", "error_after=2", stream=True)
    assert answer.text.count("tok") == 2
    last = answer.text.strip().split("\n\n")[-1]
    assert json.loads(last.removeprefix("data: "))[0]["error"]["status"] == "INTERNAL"
    assert process.billed()["output_tokens"] == 2
