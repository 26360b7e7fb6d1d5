"""Server-sent events pass as they come; their usage is counted, and hidden where nobody asked."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.support.gateway import Gateway, test_key, wait_for

AHEAD = 32  # tokens that a provider has generated and not yet delivered (docs/access-log.md)
WORDS = "".join(f"tok{number} " for number in range(1, 13))


@contextlib.contextmanager
def streamed(gateway: Gateway, simulate: str = "", **fields: Any) -> Iterator[httpx.Response]:
    """A streamed chat call, answered as `simulate` says, its body not read yet."""
    headers = {"authorization": f"Bearer {test_key('app')}", "x-simulate": simulate}
    messages = [{"role": "user", "content": "Say hello"}]
    body = {"model": "chat", "stream": True, "messages": messages, **fields}
    with gateway.http.stream(
        "POST", "/v1/chat/completions", json=body, headers=headers
    ) as response:
        assert response.status_code == 200
        yield response


def events_in(body: bytes) -> list[str]:
    """The data of every event."""
    lines = body.decode().splitlines()
    return [line.removeprefix("data:").strip() for line in lines if line.startswith("data:")]


def chunks_in(body: bytes) -> list[dict[str, Any]]:
    return [json.loads(data) for data in events_in(body) if data != "[DONE]"]


def words_in(chunks: list[dict[str, Any]], index: int = 0) -> str:
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    said = [choice["delta"].get("content") for choice in choices if choice["index"] == index]
    return "".join(text for text in said if text)


def usage_logged(gateway: Gateway, response: httpx.Response) -> dict[str, Any]:
    usage: dict[str, Any] = gateway.log_line(response.headers["x-request-id"])["usage"]
    return usage


def test_events_reach_the_client_while_the_provider_is_still_in_the_middle(
    gateway: Gateway,
) -> None:
    """It stalls there until the client leaves, who is then charged for what had come."""
    with streamed(gateway, "stall=mid_stream") as response:
        body = b""
        for piece in response.iter_raw():
            body += piece
            if "tok6" in words_in(chunks_in(body)):
                break
        assert "tok7" not in words_in(chunks_in(body))
    usage = usage_logged(gateway, response)
    assert usage["usage_source"] == "estimated"
    assert usage["output_tokens"] >= 6 + AHEAD
    assert not usage["complete"]


def test_nobody_is_charged_for_more_than_the_cap_however_much_may_be_on_its_way(
    gateway: Gateway,
) -> None:
    with streamed(gateway, "stall=mid_stream", max_tokens=9) as response:
        next(response.iter_raw())
    usage = usage_logged(gateway, response)
    assert (usage["usage_source"], usage["output_tokens"]) == ("estimated", 9)


@pytest.mark.parametrize(
    "shape", ["", "split=1", "split=3", "split=7", "crlf", "crlf,split=1", "merge=5", "merge=99"]
)
@pytest.mark.parametrize("asked", [False, True], ids=["usage not asked", "usage asked"])
def test_usage_is_counted_and_shown_only_where_asked_however_events_are_cut(
    gateway: Gateway, shape: str, asked: bool
) -> None:
    options = {"stream_options": {"include_usage": True}} if asked else {}
    with streamed(gateway, shape, **options) as response:
        body = response.read()
    assert events_in(body)[-1] == "[DONE]"
    chunks = chunks_in(body)
    assert words_in(chunks) == WORDS
    assert [bool(chunk.get("usage")) for chunk in chunks] == [False] * 14 + [True] * asked
    usage = usage_logged(gateway, response)
    assert (usage["usage_source"], usage["output_tokens"]) == ("reported", 12)
    assert usage["complete"]


def test_every_choice_of_a_stream_arrives_and_is_counted(gateway: Gateway) -> None:
    with streamed(gateway, n=3) as response:
        chunks = chunks_in(response.read())
    assert [words_in(chunks, index) for index in range(3)] == [WORDS] * 3
    assert usage_logged(gateway, response)["output_tokens"] == 36


def test_usage_that_rides_on_content_is_counted_and_not_hidden(gateway: Gateway) -> None:
    with streamed(gateway, "usage_in_last_content") as response:
        chunks = chunks_in(response.read())
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert chunks[-1]["usage"]["completion_tokens"] == 12
    usage = usage_logged(gateway, response)
    assert (usage["usage_source"], usage["output_tokens"]) == ("reported", 12)


def test_a_stream_without_usage_is_charged_by_estimate(gateway: Gateway) -> None:
    with streamed(gateway, "no_usage,completion_tokens=200") as response:
        response.read()
    usage = usage_logged(gateway, response)
    assert usage["usage_source"] == "estimated"
    # A quarter of the bytes of "tok1 " to "tok200 "; it has ended, so nothing was on its way.
    assert usage["output_tokens"] == 323
    assert usage["input_tokens"] > 0


@pytest.mark.parametrize("asked", [False, True], ids=["usage hidden", "usage shown"])
@pytest.mark.parametrize("split", ["", ",split=5"])
def test_malformed_events_pass_whole_to_the_last_byte_and_are_charged(
    gateway: Gateway, split: str, asked: bool
) -> None:
    options = {"stream_options": {"include_usage": asked}}
    with streamed(gateway, f"garbage=sse{split}", **options) as response:
        body = response.read()
    # The simulator breaks off within an event, which no empty line ends.
    assert body.endswith(b'data: {"usage": [1, 2]}\n\ndata: [DO')
    assert usage_logged(gateway, response)["usage_source"] == "estimated"


def test_a_compressed_stream_passes_and_is_charged_by_estimate(gateway: Gateway) -> None:
    with streamed(gateway, "gzip") as response:
        chunks = chunks_in(response.read())
    assert response.headers["content-encoding"] == "gzip"
    assert words_in(chunks) == WORDS
    usage = usage_logged(gateway, response)
    assert usage["usage_source"] == "estimated"
    assert usage["output_tokens"] >= 12


def test_a_stream_that_the_provider_breaks_off_is_broken_for_the_client_and_charged(
    gateway: Gateway,
) -> None:
    body = b""
    with streamed(gateway, "abort_after=3") as response, pytest.raises(httpx.RemoteProtocolError):
        for piece in response.iter_raw():
            body += piece
    assert words_in(chunks_in(body)) == "tok1 tok2 tok3 "
    usage = usage_logged(gateway, response)
    assert (usage["usage_source"], usage["complete"]) == ("estimated", False)
    assert usage["output_tokens"] >= 3 + AHEAD


def test_a_client_that_leaves_ends_the_providers_work(gateway: Gateway) -> None:
    with streamed(gateway, "token_delay_ms=100,completion_tokens=900") as response:
        chunks = response.iter_raw()  # kept: a closed iterator closes the stream
        next(chunks)
    wait_for(lambda: gateway.bill()["requests"] == 1, "the provider noticing that it is alone")
    [line] = gateway.bill()["by_model"].values()
    assert line["completion_tokens"] < 900
    assert usage_logged(gateway, response)["usage_source"] == "estimated"
