"""What a call used is read from the answer of every endpoint, through a real Envoy; a client that
leaves is charged for no less than it got."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support import e2e_policy
from tests.support.gateway import Gateway, running, test_key

AHEAD = 32
ALIASES = {
    "claude": ("anthropic", "claude-sonnet-4-5", "messages"),
    "gpt": ("openai", "gpt-5.4", "responses"),
    "instruct": ("openai", "gpt-3.5-turbo-instruct", "completions"),
    "images": ("openai", "gpt-image-1", "images/generations"),
    "speech": ("openai", "gpt-4o-mini-tts", "audio/speech"),
    "hearing": ("openai", "gpt-4o-transcribe", "audio/transcriptions"),
    "filter": ("openai", "omni-moderation-latest", "moderations"),
    "ranks": ("openai", "rerank-v3.5", "rerank"),
}
PROVIDERS = f"""{e2e_policy.PROVIDERS}
  anthropic:
    dialect: anthropic
    base_url: https://api.anthropic.com/v1
    api_key: ${{ANTHROPIC_API_KEY}}
    idle_timeout_seconds: 2
"""
MESSAGES = [{"role": "user", "content": "Say hello"}]


def models() -> str:
    rows = [
        f"""  {alias}:
    provider: {provider}
    model: {model}
    endpoints: [{endpoint}]
    price: {e2e_policy.PRICE}
"""
        for alias, (provider, model, endpoint) in ALIASES.items()
    ]
    return e2e_policy.MODELS + "".join(rows)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    root = tmp_path_factory.mktemp("usage")
    team = e2e_policy.TEAM.replace("embed]", f"embed, {', '.join(ALIASES)}]")
    files = {"providers": PROVIDERS, "models": models(), "teams__web": team}
    policies: Path = e2e_policy.write(root / "policies", **files)
    with running(policies, root / "run") as gateway:
        yield gateway


def post(
    gateway: Gateway, path: str, body: dict[str, Any], simulate: str = "", **options: Any
) -> httpx.Response:
    headers = {"x-simulate": simulate, "anthropic-version": "2023-06-01"}
    return gateway.post(f"/v1/{path}", body, "app", headers, **options)


def usage_of(gateway: Gateway, answer: httpx.Response) -> dict[str, Any]:
    usage: dict[str, Any] = gateway.log_line(answer.headers["x-request-id"])["usage"]
    return usage


def messages(stream: bool = False) -> dict[str, Any]:
    return {"model": "claude", "max_tokens": 100, "stream": stream, "messages": MESSAGES}


def events_in(body: bytes) -> list[dict[str, Any]]:
    lines = [line for line in body.decode().splitlines() if line.startswith("data: {")]
    return [json.loads(line.removeprefix("data: ")) for line in lines]


@pytest.mark.parametrize("stream", [False, True], ids=["JSON", "SSE"])
def test_messages_report_their_cache_and_name_the_alias(served: Gateway, stream: bool) -> None:
    answer = post(served, "messages", messages(stream), "cached_tokens=4,split=5")
    assert answer.status_code == 200, answer.text
    assert b"claude-sonnet" not in answer.content
    message = events_in(answer.content)[0]["message"] if stream else answer.json()
    assert message["model"] == "claude"
    usage = usage_of(served, answer)
    assert (usage["usage_source"], usage["output_tokens"]) == ("reported", 12)
    assert usage["cached_input_tokens"] == 4
    assert usage["input_tokens"] > 4
    assert usage["complete"]


@pytest.mark.parametrize("stream", [False, True], ids=["JSON", "SSE"])
def test_responses_name_the_alias_and_bind_their_ids(served: Gateway, stream: bool) -> None:
    body = {"model": "gpt", "input": "Say hello", "stream": stream}
    answer = post(served, "responses", body, "reasoning_tokens=5,split=7")
    assert answer.status_code == 200, answer.text
    assert b"gpt-5.4" not in answer.content
    found = events_in(answer.content)[-1]["response"] if stream else answer.json()
    assert found["model"] == "gpt"
    assert found["id"].count(".") == 2
    usage = usage_of(served, answer)
    assert (usage["usage_source"], usage["reasoning_tokens"]) == ("reported", 5)
    again = served.http.get(
        f"/v1/responses/{found['id']}", headers={"authorization": f"Bearer {test_key('app')}"}
    )
    assert again.status_code == 200, again.text
    assert (again.json()["id"], again.json()["model"]) == (found["id"], "gpt")
    assert usage_of(served, again)["usage_source"] == "none"
    body = {"model": "gpt", "input": "And?", "previous_response_id": found["id"]}
    following = post(served, "responses", body)
    assert following.status_code == 200, following.text
    assert following.json()["previous_response_id"] == found["id"]


@pytest.mark.parametrize("stream", [False, True], ids=["JSON", "SSE"])
def test_completions_report_and_hide_as_chats_do(served: Gateway, stream: bool) -> None:
    body = {"model": "instruct", "prompt": "Say hello", "stream": stream}
    answer = post(served, "completions", body)
    assert answer.status_code == 200, answer.text
    assert b"gpt-3.5" not in answer.content
    assert not any(event.get("usage") for event in events_in(answer.content))
    assert usage_of(served, answer)["usage_source"] == "reported"


def test_pictures_are_counted(served: Gateway) -> None:
    answer = post(served, "images/generations", {"model": "images", "prompt": "A cat", "n": 2})
    assert answer.status_code == 200, answer.text
    usage = usage_of(served, answer)
    assert (usage["usage_source"], usage["images"]) == ("reported", 2)
    assert usage["output_image_tokens"] > 0


def test_speech_passes_as_it_is_and_its_characters_are_counted(served: Gateway) -> None:
    body = {"model": "speech", "input": "Good morning", "voice": "alloy"}
    answer = post(served, "audio/speech", body)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("audio/")
    assert len(answer.content) > 0
    usage = usage_of(served, answer)
    assert (usage["usage_source"], usage["characters"]) == ("estimated", 12)
    events = post(served, "audio/speech", {**body, "stream_format": "sse"})
    assert usage_of(served, events)["usage_source"] == "reported"


@pytest.mark.parametrize(
    "form", [{}, {"response_format": "text"}, {"stream": "true"}], ids=["JSON", "text", "SSE"]
)
def test_a_transcript_is_counted_where_it_says_so(served: Gateway, form: dict[str, str]) -> None:
    answer = served.http.post(
        "/v1/audio/transcriptions",
        headers={"authorization": f"Bearer {test_key('app')}"},
        data={"model": "hearing", **form},
        files={"file": ("speech.mp3", b"sound" * 600, "audio/mpeg")},
    )
    assert answer.status_code == 200, answer.text
    usage = usage_of(served, answer)
    if form.get("response_format") == "text":
        assert (usage["usage_source"], usage["audio_milliseconds"]) == ("estimated", 4000)
    else:
        assert usage["usage_source"] == "reported"
        assert usage["input_tokens"] > 0


def test_a_ranking_is_counted_and_a_moderation_estimated(served: Gateway) -> None:
    body = {"model": "ranks", "query": "Which?", "documents": ["one", "two"]}
    ranked = usage_of(served, post(served, "rerank", body))
    assert ranked["usage_source"] == "reported"
    assert ranked.get("search_units") == 1
    judged = post(served, "moderations", {"model": "filter", "input": "Good morning"})
    assert judged.json()["model"] == "filter"
    assert usage_of(served, judged)["usage_source"] == "estimated"


def test_counting_tokens_is_free(served: Gateway) -> None:
    answer = post(served, "messages/count_tokens", {"model": "claude", "messages": MESSAGES})
    assert answer.status_code == 200, answer.text
    assert answer.json()["input_tokens"] > 0
    usage = usage_of(served, answer)
    assert (usage["usage_source"], usage["input_tokens"]) == ("none", 0)


def left(gateway: Gateway, path: str, body: dict[str, Any], until: bytes) -> dict[str, Any]:
    """What is logged of a call whose client leaves when it has seen `until`."""
    headers = {"authorization": f"Bearer {test_key('app')}", "x-simulate": "stall=mid_stream"}
    with gateway.http.stream("POST", f"/v1/{path}", json=body, headers=headers) as response:
        assert response.status_code == 200
        seen = b""
        for piece in response.iter_raw():
            seen += piece
            if until in seen:
                break
    return usage_of(gateway, response)


def test_a_stream_of_messages_that_is_left_is_charged_its_input_as_reported(
    served: Gateway,
) -> None:
    usage = left(served, "messages", messages(stream=True), b"tok5")
    whole = usage_of(served, post(served, "messages", messages()))
    assert usage["usage_source"] == "estimated"
    assert usage["input_tokens"] == whole["input_tokens"]
    assert usage["output_tokens"] >= 5 + AHEAD
    assert not usage["complete"]


def test_a_stream_of_responses_that_is_left_is_estimated(served: Gateway) -> None:
    usage = left(served, "responses", {"model": "gpt", "input": "Hi", "stream": True}, b"tok5")
    assert usage["usage_source"] == "estimated"
    assert usage["output_tokens"] >= 5 + AHEAD


@pytest.mark.parametrize("path", ["chat/completions", "messages", "responses"])
def test_an_error_inside_of_a_stream_has_the_callers_shape(served: Gateway, path: str) -> None:
    bodies = {
        "chat/completions": {"model": "chat", "stream": True, "messages": MESSAGES},
        "messages": messages(stream=True),
        "responses": {"model": "gpt", "input": "Hi", "stream": True},
    }
    answer = post(served, path, bodies[path], "error_after=2")
    assert answer.status_code == 200
    (error,) = [event for event in events_in(answer.content) if "error" in json.dumps(event)][-1:]
    assert "req_" not in json.dumps(error.get("error", {}))
    if path == "messages":
        assert (error["type"], set(error["error"])) >= ("error", {"type", "message"})
        assert error["request_id"] == answer.headers["x-request-id"]
    usage = usage_of(served, answer)
    assert usage["usage_source"] == "estimated"
    assert usage["output_tokens"] >= 2
