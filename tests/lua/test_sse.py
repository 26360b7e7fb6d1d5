"""envoy/lua/sse.lua and event.lua: an event stream read as it passes, cut anywhere."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.lua.modules import Modules, from_lua

LUA = Modules()  # for Hypothesis, which would have to rebuild a fixture for every example

USAGE = {"prompt_tokens": 12, "completion_tokens": 7}
COUNTS = {"input_tokens": 12, "output_tokens": 7}
DONE = b"data: [DONE]\n\n"


class Reader:
    """sse.new in Lua, with what it has sent on."""

    def __init__(self, hide_usage: bool, **options: object) -> None:
        self._reader = LUA.raw("sse", "new", {"hide_usage": hide_usage, **options})
        self.sent = b""

    def feed(self, chunk: bytes) -> bytes:
        sent: bytes = self._reader[b"feed"](self._reader, chunk)
        self.sent += sent
        return sent

    def finish(self) -> bytes:
        sent: bytes = self._reader[b"finish"](self._reader)
        self.sent += sent
        return sent

    def __getattr__(self, name: str) -> Any:
        return from_lua(self._reader[name.encode()])


def read(stream: bytes, *, hide: bool, size: int = 0) -> Reader:
    reader = Reader(hide)
    for start in range(0, len(stream), size or len(stream)):
        reader.feed(stream[start : start + (size or len(stream))])
    reader.finish()
    return reader


def event(data: object, line_break: str = "\n") -> bytes:
    return f"data: {json.dumps(data)}{line_break * 2}".encode()


def delta(content: str, **others: object) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": content}}], **others}


def test_events_content_usage_and_the_end_are_seen() -> None:
    stream = event(delta("Hello")) + event(delta(" you")) + event({"choices": [], "usage": USAGE})
    reader = read(stream, hide=False)
    assert (reader.events, reader.content_bytes, reader.usage) == (2, 9, COUNTS)
    assert reader.done is False
    assert read(stream + DONE, hide=False).done is True


def test_the_usage_event_alone_is_hidden() -> None:
    first, last = event(delta("Hello", usage=None)), event({"choices": [], "usage": USAGE})
    reader = read(first + last + DONE, hide=True)
    assert reader.sent == first + DONE
    assert reader.usage == COUNTS


def test_nothing_is_hidden_from_a_client_who_asked() -> None:
    stream = event(delta("Hello")) + event({"choices": [], "usage": USAGE}) + DONE
    assert read(stream, hide=False).sent == stream


@pytest.mark.parametrize(
    "data",
    [
        delta("x", usage=USAGE),
        {"usage": USAGE},
        {"choices": [], "usage": None},
        {"choices": [], "prompt_filter_results": []},
        {"choices": None, "usage": USAGE},
        {"choices": [], "x": {"usage": USAGE}},
        {"choices": [], "usage": []},
    ],
)
def test_an_event_that_is_not_only_for_usage_is_kept(data: dict[str, Any]) -> None:
    assert read(event(data), hide=True).sent == event(data)


def test_usage_on_an_event_with_content_is_recorded_and_the_last_one_wins() -> None:
    assert read(event(delta("x", usage=USAGE)), hide=True).usage == COUNTS
    later = event(delta("x", usage={"prompt_tokens": 1, "completion_tokens": 2}))
    reader = read(event(delta("x", usage=USAGE)) + later, hide=True)
    assert reader.usage == {"input_tokens": 1, "output_tokens": 2}


def test_a_usage_event_without_counts_is_hidden_and_forgets_nothing() -> None:
    reader = read(event(delta("x", usage=USAGE)) + event({"choices": [], "usage": {}}), hide=True)
    assert reader.sent == event(delta("x", usage=USAGE))
    assert reader.usage == COUNTS


def test_what_a_model_writes_cannot_pose_as_usage() -> None:
    text = '"usage": {"prompt_tokens": 0, "completion_tokens": 0}, "choices": []'
    reader = read(event(delta(text)) + event(delta("usage")), hide=True)
    assert reader.usage is None
    assert reader.events == 2
    nested = {"choices": [{"delta": {"x": {"usage": USAGE}}}]}
    assert read(event(nested), hide=True).usage is None


@pytest.mark.parametrize(
    ("data", "size"),
    [
        ('{"choices":[{"delta":{"content":"abc"}}]}', 3),
        ('{"choices" : [ {"delta":{"content" : "abc"}}]}', 3),
        ('{"choices":[{"delta":{"content":""}}]}', 0),
        ('{"choices":[{"delta":{"content":null}}]}', 0),
        ('{"choices":[{"delta":{"content":"a\\"b\\\\"}}]}', 6),
        ('{"choices":[{"delta":{"content":"content"}},{"delta":{"content":"ab"}}]}', 9),
        ('{"choices":[{"delta":{"role":"content","content":"ab"}}]}', 2),
        ('{"choices":[{"delta":{"tool_calls":[{"function":{"arguments":"{1"}}]}}]}', 2),
        ('{"choices":[{"delta":{"reasoning_content":"abcd","refusal":"ef"}}]}', 6),
        ('{"choices":[{"text":"abc"}]}', 3),
        ('{"choices":[],"content":"abc"}', 0),
    ],
)
def test_content_is_measured_wherever_a_provider_puts_it(data: str, size: int) -> None:
    assert read(f"data: {data}\n\n".encode(), hide=False).content_bytes == size


def test_a_complete_event_is_sent_at_once_and_an_incomplete_one_held() -> None:
    reader = Reader(hide_usage=True)
    assert reader.feed(event(delta("a")) + b"data: {") == event(delta("a"))
    assert reader.feed(b'"b":1}\n') == b""
    assert reader.feed(b"\ndata") == b'data: {"b":1}\n\n'
    assert reader.finish() == b"data"


def test_without_hiding_every_byte_is_sent_as_it_comes() -> None:
    reader = Reader(hide_usage=False)
    for chunk in (b"data: {", b'"a"', b"", b":1}\n", b"\n", b"rest"):
        assert reader.feed(chunk) == chunk
    assert reader.finish() == b""


@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\r"])
def test_every_line_break_ends_an_event_at_once(line_break: str) -> None:
    reader = Reader(hide_usage=True)
    shown = event(delta("Hello"), line_break)
    assert reader.feed(shown) == shown
    assert reader.feed(event({"choices": [], "usage": USAGE}, line_break)) == b""
    assert reader.feed(shown) == shown
    assert (reader.events, reader.usage) == (2, COUNTS)


def test_a_line_break_cut_in_two_goes_with_its_event() -> None:
    reader = Reader(hide_usage=True)
    hidden, shown = event({"choices": [], "usage": USAGE}, "\r\n"), event(delta("x"), "\r\n")
    assert reader.feed(hidden[:-1]) == b""
    assert reader.feed(hidden[-1:] + shown[:-1]) == shown[:-1]
    assert reader.feed(shown[-1:]) == b"\n"
    assert reader.finish() == b""


def test_an_event_whose_end_is_missing_is_still_read() -> None:
    last = event({"choices": [], "usage": USAGE})[:-1]
    reader = read(event(delta("x")) + last, hide=True)
    assert reader.sent == event(delta("x"))
    assert reader.usage == COUNTS
    assert read(DONE[:-2], hide=True).done is True
    assert read(DONE[:-2], hide=True).sent == DONE[:-2]


@pytest.mark.parametrize(
    "noise",
    [
        b": comment\n\n",
        b"event: ping\nid: 7\nretry: 5\n\n",
        b"\n\n\n\n",
        b"data\n\n",
        b"data:\n\n",
        b"data: {broken\n\n",
        b'data: {"choices":[{"delta":{"content":"cut\n\n',
        b'data: {"choices":[],"usage":{"prompt_tokens":1}\n\n',
        b'data: "usage":{ "choices":[]\n\n',
        b'data: {"choices":[\n\n',
        b"\xff\xfe\x00\n\n",
        b"<html>not a stream</html>",
        b"[DONE]\n\n",
    ],
)
def test_what_is_malformed_or_unknown_passes_unchanged(noise: bytes) -> None:
    stream = event(delta("a")) + noise
    for hide in (True, False):
        reader = read(stream, hide=hide)
        assert reader.sent == stream
        assert reader.usage is None
        assert reader.done is False


def test_an_event_in_several_data_lines_is_read_as_one() -> None:
    hidden = b'event: x\ndata: {"choices":[],\n: why\ndata:"usage":\ndata:' + (
        json.dumps(USAGE).encode() + b"}\n\n"
    )
    reader = read(hidden + DONE, hide=True)
    assert (reader.sent, reader.usage) == (DONE, COUNTS)


def test_an_event_without_end_is_let_through_and_not_held() -> None:
    reader = Reader(hide_usage=True)
    chunk = b": ".ljust(1 << 20, b"x")
    for _ in range(8):
        assert reader.feed(chunk) == b""
    assert reader.feed(chunk) == chunk * 9
    assert reader.feed(chunk) == chunk
    last = b"\n\n" + event({"choices": [], "usage": USAGE})
    assert reader.feed(last) == b"\n\n"
    assert reader.usage == COUNTS
    assert reader.finish() == b""


def test_an_endless_event_is_not_held_for_a_client_who_asked_either() -> None:
    reader = Reader(hide_usage=False)
    for _ in range(20):
        reader.feed(b"x" * (1 << 20))
        assert reader.held <= 8 << 20


events = st.sampled_from(
    [
        event(delta("Hello, you", usage=None)),
        event(delta("é\r\n\n", usage=USAGE), "\r\n"),
        event({"choices": [], "usage": USAGE}),
        event({"choices": [], "usage": USAGE}, "\r\n"),
        event({"choices": [], "usage": USAGE}, "\r"),
        b": comment\n\n",
        b"event: a\r\ndata: {}\r\n\r\n",
        b'data: {"choices":[],\ndata: "usage":{}}\n\r\n',
        DONE,
    ]
)


@given(
    st.lists(events, max_size=8), st.sampled_from([b"", b"data: rest"]), st.data(), st.booleans()
)
def test_the_cuts_between_chunks_change_nothing(
    parts: list[bytes], rest: bytes, data: st.DataObject, hide: bool
) -> None:
    stream = b"".join(parts) + rest
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    reader = Reader(hide)
    for first, last in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        reader.feed(stream[first:last])
    reader.finish()
    shown = [part for part in parts if not (hide and b'"choices"' in part and b"{}}" in part)]
    shown = [part for part in shown if not (hide and b'"choices": []' in part)]
    assert reader.sent == b"".join(shown) + rest
    assert reader.events == sum(b"delta" in part for part in parts)
    assert reader.done is (DONE in parts)
    counted = any(b"prompt_tokens" in part for part in parts)
    assert reader.usage == (COUNTS if counted else None)


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\r"])
def test_chunks_of_any_size_give_the_same_stream(size: int, line_break: str) -> None:
    shown = event(delta("Hello"), line_break)
    hidden = event({"choices": [], "usage": USAGE}, line_break)
    reader = read((shown + hidden) * 3 + shown, hide=True, size=size)
    assert reader.sent == shown * 4
    assert (reader.events, reader.content_bytes, reader.usage) == (4, 20, COUNTS)


@pytest.mark.parametrize(
    "unfinished",
    [b"data: [DONE]\n", b'data: {"choices":[{"delta":{"content":"last"}}]}\n', b"data: plain\n"],
)
def test_what_cannot_be_a_usage_event_is_sent_before_it_is_complete(unfinished: bytes) -> None:
    reader = Reader(hide_usage=True)
    sent = b"".join(reader.feed(unfinished[at : at + 1]) for at in range(len(unfinished)))
    assert sent == unfinished
    assert reader.feed(b"\n") == b"\n"
    assert reader.finish() == b""


def test_a_usage_event_behind_other_lines_is_still_hidden() -> None:
    reader = Reader(hide_usage=True)
    hidden = b"event: message\n" + event({"choices": [], "usage": USAGE})
    assert b"".join(reader.feed(hidden[at : at + 1]) for at in range(len(hidden))) == b""


def test_what_several_pictures_cost_is_known_when_as_many_have_come_as_were_asked_for() -> None:
    def picture(tokens: int) -> bytes:
        usage = {"input_tokens": 1, "output_tokens": tokens}
        return event({"type": "image_generation.completed", "b64_json": "AA==", "usage": usage})

    reader = Reader(False, endpoint="images/generations", pictures=2)
    reader.feed(picture(10))
    assert (reader.events, reader.done, reader.usage) == (1, False, None)
    reader.feed(picture(20))
    counted = {"images": 2, "input_tokens": 2, "output_tokens": 30, "output_image_tokens": 30}
    assert (reader.done, reader.usage) == (True, counted)

    fewer = Reader(False, endpoint="images/generations", pictures=3)
    fewer.feed(picture(10))
    fewer.finish()
    assert (fewer.done, fewer.usage["images"]) == (True, 1)
