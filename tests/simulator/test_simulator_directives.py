"""Each directive of the x-simulate header does what it says."""

from __future__ import annotations

import gzip
import json
import time
import zlib

import httpx
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.simulator.simulator_process import HELLO, HELLO_TOKENS, KEY, Simulator
from tollhouse.simulator.directives import PLAIN, DirectiveError, parse
from tollhouse.simulator.openai.errors import on_demand

ASK_USAGE = {"stream": True, "stream_options": {"include_usage": True}}


def usage(simulator: Simulator, simulate: str, **fields: object) -> dict:
    return simulator.chat(simulate, **fields).json()["usage"]


def test_completion_tokens_sets_the_length_of_the_answer(simulator):
    body = simulator.chat("completion_tokens=2").json()
    assert body["choices"][0]["message"]["content"] == "tok1 tok2 "
    assert body["usage"]["completion_tokens"] == 2
    assert simulator.chat("completion_tokens=0").json()["choices"][0]["message"]["content"] == ""


def test_reasoning_tokens_are_hidden_and_counted(simulator):
    body = simulator.chat("reasoning_tokens=30").json()
    assert body["choices"][0]["message"]["content"].count("tok") == 12
    assert body["usage"]["completion_tokens"] == 42
    assert body["usage"]["completion_tokens_details"]["reasoning_tokens"] == 30


def test_a_limit_takes_visible_words_before_reasoning(simulator):
    body = simulator.chat("completion_tokens=50,reasoning_tokens=20", max_tokens=25).json()
    assert body["choices"][0]["message"]["content"].count("tok") == 5
    assert body["choices"][0]["finish_reason"] == "length"
    all_hidden = usage(simulator, "reasoning_tokens=20", max_tokens=8)
    assert all_hidden["completion_tokens"] == 8
    assert all_hidden["completion_tokens_details"]["reasoning_tokens"] == 8


def test_cached_tokens_are_reported_and_billed(simulator):
    details = usage(simulator, "cached_tokens=5")["prompt_tokens_details"]
    assert details["cached_tokens"] == 5
    assert simulator.control("bill")["by_model"]["gpt-4o-mini"]["cached_tokens"] == 5


@pytest.mark.parametrize("status", [400, 401, 404, 418, 429, 500, 503, 529])
def test_status_answers_an_error_of_the_real_shape(simulator, status):
    answer = simulator.chat(f"status={status}")
    assert answer.status_code == status
    assert list(answer.json()["error"]) == ["message", "type", "param", "code"]
    assert simulator.control("bill")["requests"] == 0
    assert simulator.last_record()["completed"]


def test_an_error_asked_for_again_and_again_is_the_same(simulator):
    answers = {simulator.chat("status=429").text for _ in range(3)}
    assert len(answers) == 1
    assert json.loads(answers.pop())["error"]["code"] == "rate_limit_exceeded"


def test_an_error_is_raised_afresh_each_time():
    assert on_demand(429) is not on_demand(429)


def test_retry_after_adds_the_header(simulator):
    assert simulator.chat("status=429,retry_after=7").headers["retry-after"] == "7"
    assert "retry-after" not in simulator.chat("status=429").headers


def test_html_error_answers_the_page_of_a_cdn(simulator):
    answer = simulator.chat("html_error=502")
    assert answer.status_code == 502
    assert answer.headers["content-type"] == "text/html; charset=UTF-8"
    assert "<title>502 Bad Gateway</title>" in answer.text


def test_stall_before_headers_never_answers(simulator):
    with httpx.Client(base_url=simulator.url, timeout=0.3) as impatient:
        headers = {"authorization": f"Bearer {KEY}", "x-simulate": "stall=before_headers"}
        with pytest.raises(httpx.ReadTimeout):
            impatient.post("/v1/chat/completions", json=HELLO, headers=headers)
    record = simulator.finished_record()
    assert not record["completed"]
    assert record["usage"]["prompt_tokens"] == HELLO_TOKENS
    assert record["usage"]["completion_tokens"] == 0


def test_stall_mid_stream_falls_silent_half_way(simulator):
    headers = {"authorization": f"Bearer {KEY}", "x-simulate": "stall=mid_stream"}
    received = b""
    request = {"json": HELLO | {"stream": True}, "headers": headers, "timeout": 0.5}
    with (
        pytest.raises(httpx.ReadTimeout),
        simulator.http.stream("POST", "/v1/chat/completions", **request) as answer,
    ):
        for data in answer.iter_raw():
            received += data
    assert b"tok6 " in received
    assert b"tok7 " not in received
    assert simulator.finished_record()["usage"]["completion_tokens"] == 6


def test_stall_mid_stream_sends_half_of_a_json_body(simulator):
    headers = {"authorization": f"Bearer {KEY}", "x-simulate": "stall=mid_stream"}
    received = b""
    request = {"json": HELLO, "headers": headers, "timeout": 0.5}
    with (
        pytest.raises(httpx.ReadTimeout),
        simulator.http.stream("POST", "/v1/chat/completions", **request) as answer,
    ):
        for data in answer.iter_raw():
            received += data
    assert len(received) == int(answer.headers["content-length"]) // 2


def test_delay_ms_comes_before_the_headers(simulator):
    started = time.monotonic()
    assert simulator.chat("delay_ms=150").status_code == 200
    assert time.monotonic() - started >= 0.15


def test_an_error_can_be_delayed_too(simulator):
    started = time.monotonic()
    assert simulator.chat("delay_ms=150,status=500").status_code == 500
    assert time.monotonic() - started >= 0.15


def test_token_delay_ms_comes_between_the_chunks(simulator):
    started = time.monotonic()
    simulator.chat("token_delay_ms=30,completion_tokens=3", stream=True)
    assert time.monotonic() - started >= 5 * 0.03


def test_abort_after_drops_the_connection_under_a_stream(simulator):
    answer = simulator.raw_chat("abort_after=3", stream=True)
    assert answer.head.startswith("HTTP/1.1 200 OK")
    assert b"tok3 " in answer.body
    assert b"tok4 " not in answer.body
    assert not answer.body.endswith(b"0\r\n\r\n")
    assert simulator.finished_record()["usage"]["completion_tokens"] == 3


def test_abort_after_none_sends_the_role_only(simulator):
    answer = simulator.raw_chat("abort_after=0", stream=True)
    assert len(answer.chunks) == 1
    assert b'"role":"assistant"' in answer.chunks[0]


def test_abort_after_all_words_sends_no_finish(simulator):
    answer = simulator.raw_chat("abort_after=12", stream=True)
    assert b"tok12 " in answer.body
    assert b'"finish_reason":"stop"' not in answer.body


def test_abort_after_cuts_a_json_body_half_way(simulator):
    answer = simulator.raw_chat("abort_after=0")
    length = int(answer.head.split("content-length: ")[1].split("\r\n")[0])
    assert len(answer.body) == length // 2
    record = simulator.finished_record()
    assert not record["completed"]
    assert record["usage"]["completion_tokens"] == 12


def test_the_sdk_sees_an_aborted_stream_as_an_error(simulator):
    with openai.OpenAI(base_url=f"{simulator.url}/v1", api_key=KEY, max_retries=0) as client:
        headers = {"x-simulate": "abort_after=2"}
        stream = client.chat.completions.create(**HELLO, stream=True, extra_headers=headers)
        with stream, pytest.raises(openai.APIConnectionError):
            list(stream)


def test_garbage_json_is_no_json(simulator):
    answer = simulator.chat("garbage=json")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    with pytest.raises(json.JSONDecodeError):
        answer.json()
    assert simulator.finished_record()["usage"]["completion_tokens"] == 12


def test_garbage_sse_has_no_event_that_can_be_read(simulator):
    answer = simulator.chat("garbage=sse", stream=True)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert "[DONE]" not in answer.text
    with pytest.raises(json.JSONDecodeError):
        json.loads(answer.text.split("\n\n")[0].removeprefix("data: "))


def test_no_usage_leaves_usage_out_everywhere(simulator):
    assert "usage" not in simulator.chat("no_usage").json()
    assert '"usage"' not in simulator.chat("no_usage", **ASK_USAGE).text
    assert '"usage"' not in simulator.chat("no_usage,usage_in_last_content", stream=True).text
    assert simulator.control("bill")["by_model"]["gpt-4o-mini"]["completion_tokens"] == 36


def test_gzip_compresses_a_json_body_nobody_asked_to_compress(simulator):
    answer = simulator.raw_chat("gzip")
    assert "content-encoding: gzip" in answer.head
    assert json.loads(gzip.decompress(answer.body))["object"] == "chat.completion"


def test_a_gzipped_stream_can_be_read_event_by_event(simulator):
    answer = simulator.raw_chat("gzip", stream=True)
    assert "content-encoding: gzip" in answer.head
    reader = zlib.decompressobj(wbits=31)
    texts = [reader.decompress(chunk) for chunk in answer.chunks]
    assert [text.count(b"data: ") for text in texts] == [1] * 15 + [0, 0]
    assert b"".join(texts).endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_split_writes_pieces_of_that_size_across_events(simulator, size):
    *pieces, last, end = simulator.raw_chat(f"split={size}", stream=True).chunks
    assert {len(piece) for piece in pieces} == {size}
    assert 0 < len(last) <= size
    assert end == b""
    assert (b"".join(pieces) + last).count(b"data: ") == 15


def test_crlf_ends_every_line_with_crlf(simulator):
    text = b"".join(simulator.raw_chat("crlf", stream=True).chunks)
    assert text.count(b"\r\n") == text.count(b"\n") == 30
    assert text.endswith(b"data: [DONE]\r\n\r\n")


def test_merge_writes_that_many_events_at_once(simulator):
    chunks = simulator.raw_chat("merge=4", stream=True).chunks
    assert [chunk.count(b"data: ") for chunk in chunks] == [4, 4, 4, 3, 0]


def test_usage_in_last_content_rides_on_the_finish_chunk(simulator):
    text = simulator.chat("usage_in_last_content", **ASK_USAGE).text
    *_, finish, done = text.strip().split("\n\n")
    chunk = json.loads(finish.removeprefix("data: "))
    assert done == "data: [DONE]"
    assert chunk["choices"][0]["finish_reason"] == "stop"
    assert chunk["usage"]["completion_tokens"] == 12
    assert text.count('"usage":{') == 1


def test_usage_in_last_content_comes_without_being_asked(simulator):
    text = simulator.chat("usage_in_last_content", stream=True, n=2).text
    assert text.count('"usage"') == 1


def test_usage_first_puts_usage_before_the_choices(simulator):
    names = list(simulator.chat("usage_first").json())
    assert names.index("usage") < names.index("choices")


def test_several_directives_act_together(simulator):
    answer = simulator.raw_chat("completion_tokens=5,crlf,split=3,abort_after=2", stream=True)
    assert {len(chunk) for chunk in answer.chunks[:-1]} == {3}
    assert b"tok2 " in b"".join(answer.chunks)
    assert b"tok3 " not in b"".join(answer.chunks)


@pytest.mark.parametrize(
    "header",
    [
        "stalled=yes",
        "completion_tokens",
        "completion_tokens=-1",
        "completion_tokens=1000001",
        "completion_tokens=1.5",
        "completion_tokens=",
        "status=200",
        "stall=later",
        "no_usage=1",
        "split=0",
        "split=\u0661",
        "merge=0",
        "gzip,gzip",
        "gzip,",
        "retry_after=1",
    ],
)
def test_what_is_not_a_directive_is_refused(header):
    with pytest.raises(DirectiveError):
        parse(header)


def test_an_unknown_directive_is_answered_with_those_that_are_known(simulator):
    answer = simulator.chat("stauts=500")
    assert answer.status_code == 400
    message = answer.json()["error"]["message"]
    assert "'stauts=500'" in message
    assert "status=400..599" in message
    assert "garbage=json|sse" in message


def test_an_empty_header_asks_for_nothing():
    assert parse("") == parse("  ") == PLAIN


@given(st.text(max_size=40))
def test_any_text_is_parsed_or_refused(text):
    try:
        parse(text)
    except DirectiveError as error:
        assert "x-simulate" in str(error)
