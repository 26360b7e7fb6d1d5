"""Answers of real providers, in their published shapes: what Lua counts in each, and what a client
sees of it. tests/fixtures/usage has them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.lua.modules import Modules, from_lua

FOLDER = Path(__file__).parents[1] / "fixtures" / "usage"
EXPECTED: dict[str, dict[str, Any]] = yaml.safe_load((FOLDER / "expected.yaml").read_text("utf-8"))
ANSWERS = sorted(name for name in EXPECTED if name.endswith(".json"))
STREAMS = sorted(name for name in EXPECTED if name.endswith(".sse"))
ALIAS = 'our "own" model'
SHOWN_ALIAS = json.dumps(ALIAS).replace('\\"', "\\u0022").encode()
# As sent by the client: not what is made of the provider's own.
PREVIOUS = "resp_previous.shown"
LUA = Modules()
NO_LIMIT = float("inf")
BINDER = LUA.run('return function(raw) return raw .. ".shown" end')


def content(name: str) -> bytes:
    return (FOLDER / name).read_bytes()


def reader_of(name: str, *, hide: bool = True, show: bool = True) -> Any:
    names = {"model": ALIAS, "response_id": BINDER, "previous_response_id": PREVIOUS}
    options = {"endpoint": EXPECTED[name]["endpoint"], "hide_usage": hide}
    return LUA.raw("sse", "new", {**options, **({"show": names} if show else {})})


def feed(reader: Any, chunks: list[bytes]) -> bytes:
    sent = [reader[b"feed"](reader, chunk) for chunk in chunks]
    return b"".join([*sent, reader[b"finish"](reader)])


def events_of(stream: bytes) -> list[bytes]:
    return [event + b"\n\n" for event in stream.split(b"\n\n")[:-1]]


def data_of(event: bytes) -> Any:
    (line,) = [line for line in event.split(b"\n") if line.startswith(b"data: ")]
    return json.loads(line.removeprefix(b"data: "))


def objects_in(stream: bytes) -> list[Any]:
    return [data_of(event) for event in events_of(stream) if b"data: {" in event]


def own_names(answer: dict[str, Any]) -> dict[bytes, bytes]:
    """What is to be put in place of the names in an answer: of members, in compact JSON."""
    found = {}
    for holder in (answer, answer.get("response") or {}, answer.get("message") or {}):
        if isinstance(holder.get("model"), str):
            found[f'"model":{json.dumps(holder["model"])}'.encode()] = b'"model":' + SHOWN_ALIAS
        if str(holder.get("id", "")).startswith("resp_"):
            shown = f'"id":"{holder["id"]}.shown"'.encode()
            found[f'"id":"{holder["id"]}"'.encode()] = shown
        if holder.get("previous_response_id"):
            sent = f'"previous_response_id":"{PREVIOUS}"'.encode()
            found[f'"previous_response_id":"{holder["previous_response_id"]}"'.encode()] = sent
    return found


def as_shown(event: bytes) -> bytes:
    if b"data: {" in event:
        for raw, shown in own_names(data_of(event)).items():
            event = event.replace(raw, shown)
    return event


def only_reports(event: bytes) -> bool:
    return b'"choices":[]' in event and b'"usage":{' in event


def test_every_fixture_is_expected_and_every_expected_one_is_there() -> None:
    files = {path.name for path in FOLDER.iterdir()} - {"README.md", "expected.yaml"}
    assert files == set(EXPECTED)
    assert len(EXPECTED) >= 50


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_gives_exactly_these_counts(name: str) -> None:
    usage, _ = LUA.call("usage", "from_body", content(name), EXPECTED[name]["endpoint"])
    if EXPECTED[name]["endpoint"] == "messages/count_tokens":
        usage = None  # passage.lua records none of what costs nothing
    assert _text(usage) == EXPECTED[name]["counts"]


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_gives_exactly_these_counts_and_is_known_to_have_ended(name: str) -> None:
    reader = reader_of(name)
    feed(reader, [content(name)])
    assert _text(from_lua(reader[b"usage"])) == EXPECTED[name]["counts"]
    assert reader[b"done"] is True
    assert reader[b"events"] >= 1


def _text(usage: Any) -> Any:
    if usage and "service_tier" in usage:
        return {**usage, "service_tier": usage["service_tier"].decode()}
    return usage


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_is_shown_under_our_own_names_and_otherwise_as_it_came(name: str) -> None:
    compact = json.dumps(json.loads(content(name)), separators=(",", ":")).encode()
    endpoint = EXPECTED[name]["endpoint"]
    _, answer = LUA.raw("usage", "from_body", compact, endpoint)
    show = {"model": ALIAS, "response_id": BINDER, "previous_response_id": PREVIOUS}
    expected = compact
    for raw, shown in own_names(json.loads(compact)).items():
        expected = expected.replace(raw, shown)
    assert LUA.call("shown", "answer", compact, answer, endpoint, show) == expected
    assert (b'"model":"' in compact) == (SHOWN_ALIAS in expected)
    assert LUA.call("shown", "answer", compact, answer, endpoint, {}) == compact


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_is_shown_under_our_own_names_and_otherwise_as_it_came(name: str) -> None:
    events = events_of(content(name))
    expected = b"".join(as_shown(event) for event in events if not only_reports(event))
    assert feed(reader_of(name), [content(name)]) == expected
    # The same once more by what it says: no provider's model or id is left anywhere.
    for before in objects_in(content(name)):
        for raw in own_names(before):
            assert raw not in expected


@pytest.mark.parametrize("name", STREAMS)
def test_with_nothing_to_hide_every_byte_passes_as_it_came(name: str) -> None:
    reader = reader_of(name, hide=False, show=False)
    assert feed(reader, [content(name)]) == content(name)
    assert _text(from_lua(reader[b"usage"])) == EXPECTED[name]["counts"]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(STREAMS), st.sampled_from([b"\n", b"\r\n", b"\r"]), st.data())
def test_the_cuts_between_chunks_change_neither_counts_nor_bytes(
    name: str, line_break: bytes, data: st.DataObject
) -> None:
    stream = content(name).replace(b"\n", line_break)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=20)))
    chunks = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    reader = reader_of(name)
    expected = b"".join(as_shown(e) for e in events_of(content(name)) if not only_reports(e))
    assert feed(reader, chunks) == expected.replace(b"\n", line_break)
    assert _text(from_lua(reader[b"usage"])) == EXPECTED[name]["counts"]


@pytest.mark.parametrize("name", STREAMS)
def test_byte_by_byte_a_stream_is_the_same(name: str) -> None:
    stream = content(name)
    whole, single = reader_of(name), reader_of(name)
    sent = feed(single, [stream[at : at + 1] for at in range(len(stream))])
    assert sent == feed(whole, [stream])
    for field in (b"events", b"content_bytes", b"done"):
        assert single[field] == whole[field]
    assert from_lua(single[b"usage"]) == from_lua(whole[b"usage"])


def text_in(said: Any) -> int:
    """UTF-8 bytes of what a model has said in an event."""
    texts: list[str] = []
    for choice in said.get("choices", []):
        delta = choice.get("delta", choice)
        texts += [delta.get(key) or "" for key in ("content", "reasoning_content", "text")]
    delta = said.get("delta", "")
    if isinstance(delta, str):
        texts.append(delta)
    else:
        texts += [delta.get(key, "") for key in ("text", "thinking", "partial_json")]
    return len("".join(texts).encode())


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_that_is_left_is_charged_for_no_less_than_was_delivered(name: str) -> None:
    if EXPECTED[name]["endpoint"].startswith(("images/", "audio/")):
        return _left_early_is_as_reserved(name)
    reader, delivered, brought = reader_of(name), 0, 0
    for event in events_of(content(name)):
        reader[b"feed"](reader, event)
        if b"data: {" in event:
            size = text_in(data_of(event))
            delivered, brought = delivered + size, brought + (size > 0)
        output = LUA.call("estimate", "of_reader", reader, NO_LIMIT)
        assert output >= delivered / 4
        assert output >= brought
        assert LUA.call("estimate", "of_reader", reader, 3) == 3
        if reader[b"usage"] and reader[b"events"] == reader[b"counted_events"]:
            assert from_lua(reader[b"usage"])["output_tokens"] >= brought
    return None


def _left_early_is_as_reserved(name: str) -> None:
    """What sound and pictures use is the provider's to say: until it does, nothing is reported."""
    reader = reader_of(name)
    first, *_ = events_of(content(name))
    reader[b"feed"](reader, first)
    assert reader[b"usage"] is None


@pytest.mark.parametrize("name", [name for name in STREAMS if "messages" in name])
def test_input_is_known_from_the_first_event_and_output_only_from_the_last_but_one(
    name: str,
) -> None:
    reader, events = reader_of(name), events_of(content(name))
    reader[b"feed"](reader, events[0])
    counts = EXPECTED[name]["counts"]
    known = from_lua(reader[b"input"])
    last = next(at for at, event in enumerate(events) if b"message_delta" in event)
    for event in events[1:last]:
        reader[b"feed"](reader, event)
        assert reader[b"usage"] is None
    reader[b"feed"](reader, events[last])
    assert reader[b"usage"] is not None
    assert reader[b"done"] is False
    if name.startswith("vllm"):
        assert known is None  # it said 0
    elif name == "anthropic-messages.sse":
        assert known["input_tokens"] == counts["input_tokens"]
        assert known["cache_write_1h_tokens"] == counts["cache_write_1h_tokens"]
        assert "output_tokens" not in known


def test_of_two_pieces_of_usage_the_larger_counts_whichever_comes_first() -> None:
    reader = LUA.raw("sse", "new", {"endpoint": "messages"})
    start = {"input_tokens": 25, "cache_read_input_tokens": 900, "output_tokens": 1}
    late = {"input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 9}
    for event in (
        {"type": "message_start", "message": {"usage": start}},
        {"type": "message_delta", "usage": late},
        {"type": "message_delta", "usage": {"output_tokens": 12}},
    ):
        reader[b"feed"](reader, f"data: {json.dumps(event)}\n\n".encode())
    assert from_lua(reader[b"usage"]) == {
        "input_tokens": 925,
        "cached_input_tokens": 900,
        "output_tokens": 12,
    }


def test_what_comes_after_the_usage_is_charged_too() -> None:
    reader = reader_of("xai-chat.sse")
    stream = events_of(content("xai-chat.sse"))
    for event in [*stream[:-1], stream[1], stream[1]]:
        reader[b"feed"](reader, event)
    output = EXPECTED["xai-chat.sse"]["counts"]["output_tokens"]
    later = 3  # 10 bytes of text
    assert LUA.call("estimate", "of_reader", reader, NO_LIMIT) == output + later + 32


@given(
    st.sampled_from(sorted(EXPECTED)),
    st.binary(max_size=8),
    st.integers(0, 4000),
    st.integers(0, 4000),
)
def test_nothing_raises_on_what_is_damaged(name: str, noise: bytes, at: int, gone: int) -> None:
    damaged = content(name)[:at] + noise + content(name)[at + gone :]
    for endpoint in {item["endpoint"] for item in EXPECTED.values()}:
        usage, answer = LUA.raw("usage", "from_body", damaged, endpoint)
        if answer is not None:
            LUA.call("shown", "answer", damaged, answer, endpoint, {"model": ALIAS})
        for value in (from_lua(usage) or {}).values():
            assert isinstance(value, bytes) or (value >= 0 and value == int(value))
        reader = LUA.raw("sse", "new", {"endpoint": endpoint, "show": {"model": ALIAS}})
        feed(reader, [damaged])
