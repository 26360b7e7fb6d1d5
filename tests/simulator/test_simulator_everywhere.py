"""Directives act on every endpoint where they make sense."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.simulator.simulator_process import HELLO, Simulator

FILE = {"file": ("a.mp3", b"\0" * 16_001, "audio/mpeg")}
IMAGE = {"image": ("a.png", b"png", "image/png")}
MESSAGE = HELLO | {"max_tokens": 100}
SPEECH = {"model": "gpt-4o-mini-tts", "input": "a" * 100, "voice": "alloy"}
REQUESTS: dict[str, dict[str, Any]] = {
    "chat/completions": {"json": HELLO},
    "completions": {"json": {"model": "m", "prompt": "hello"}},
    "responses": {"json": {"model": "m", "input": "hello"}},
    "embeddings": {"json": {"model": "m", "input": "hello"}},
    "messages": {"json": MESSAGE},
    "messages/count_tokens": {"json": MESSAGE},
    "audio/speech": {"json": SPEECH},
    "audio/transcriptions": {"data": {"model": "gpt-4o-transcribe"}, "files": FILE},
    "audio/translations": {"data": {"model": "whisper-1"}, "files": FILE},
    "images/generations": {"json": {"model": "gpt-image-1", "prompt": "hello"}},
    "images/edits": {"data": {"model": "gpt-image-1", "prompt": "hello"}, "files": IMAGE},
    "moderations": {"json": {"model": "m", "input": "hello"}},
    "rerank": {"json": {"model": "m", "query": "q", "documents": ["d"]}},
}
STREAMED = {
    "chat/completions": {"json": HELLO | {"stream": True}},
    "completions": {"json": {"model": "m", "prompt": "hello", "stream": True}},
    "responses": {"json": {"model": "m", "input": "hello", "stream": True}},
    "messages": {"json": MESSAGE | {"stream": True}},
    "audio/speech": {"json": SPEECH | {"stream_format": "sse"}},
    "audio/transcriptions": {
        "data": {"model": "gpt-4o-transcribe", "stream": "true"},
        "files": FILE,
    },
    "images/generations": {
        "json": {"model": "gpt-image-1", "prompt": "hello", "n": 3, "stream": True}
    },
    "images/edits": {
        "data": {"model": "gpt-image-1", "prompt": "hello", "n": "3", "stream": "true"},
        "files": IMAGE,
    },
}
every_endpoint = pytest.mark.parametrize("name", REQUESTS)
every_stream = pytest.mark.parametrize("name", STREAMED)


def ask(simulator: Simulator, name: str, simulate: str = "") -> httpx.Response:
    return simulator.post(f"/v1/{name}", simulate, **REQUESTS[name])


def stream(simulator: Simulator, name: str, simulate: str = "") -> httpx.Response:
    return simulator.post(f"/v1/{name}", simulate, **STREAMED[name])


@every_endpoint
def test_every_endpoint_answers_and_bills_once(simulator, name):
    assert ask(simulator, name).status_code == 200
    record = simulator.finished_record()
    assert record["completed"]
    assert simulator.control("bill")["requests"] == 1


@every_endpoint
@pytest.mark.parametrize("status", [429, 503])
def test_every_endpoint_fails_on_demand_for_free(simulator, name, status):
    answer = ask(simulator, name, f"status={status},retry_after=3")
    assert (answer.status_code, answer.headers["retry-after"]) == (status, "3")
    assert ask(simulator, name, "html_error=502").status_code == 502
    assert simulator.control("bill")["requests"] == 0


@every_endpoint
def test_every_answer_can_be_garbage_compressed_or_cut(simulator, name):
    assert ask(simulator, name, "garbage=json").text.endswith("<<<\n")
    assert ask(simulator, name, "gzip").headers["content-encoding"] == "gzip"
    with pytest.raises(httpx.RemoteProtocolError):
        ask(simulator, name, "abort_after=0")
    assert not simulator.finished_record()["completed"]


@every_stream
def test_every_stream_can_break_off_or_fail_after_its_first_event(simulator, name):
    whole = stream(simulator, name)
    assert whole.headers["content-type"].startswith("text/event-stream")
    full = simulator.billed()["output_tokens"]
    with pytest.raises(httpx.RemoteProtocolError):
        stream(simulator, name, "abort_after=1")
    assert 0 < simulator.billed()["output_tokens"] < full
    failed = stream(simulator, name, "error_after=1")
    assert '"error"' in failed.text.strip().split("\n\n")[-1]
    assert 0 < simulator.billed()["output_tokens"] < full


@every_stream
def test_every_stream_can_be_sent_in_any_pieces(simulator, name):
    whole = stream(simulator, name).text
    assert stream(simulator, name, "split=7,crlf").text.count("\r\n") == whole.count("\n")
    assert len(stream(simulator, name, "merge=3").text) == pytest.approx(len(whole), abs=100)


@every_stream
def test_every_stream_can_hide_its_usage(simulator, name):
    assert '"usage"' not in stream(simulator, name, "no_usage").text
