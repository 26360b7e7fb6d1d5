"""envoy/lua/shown.lua: our own names in place of the provider's, whatever the JSON looks like."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.lua.modules import Modules

LUA = Modules()
BINDER = LUA.run('return function(raw) return raw .. ".shown" end')
NOT_ALL = LUA.run('return function(raw) return raw == "resp_1" and "ours" or nil end')


class Stream:
    """sse.new with names to show, and what it has sent on."""

    def __init__(self, endpoint: str = "chat/completions", **show: Any) -> None:
        self._reader = LUA.raw("sse", "new", {"endpoint": endpoint, "show": show})

    def feed(self, chunk: bytes) -> bytes:
        sent: bytes = self._reader[b"feed"](self._reader, chunk)
        return sent

    def finish(self) -> bytes:
        sent: bytes = self._reader[b"finish"](self._reader)
        return sent


def shown(data: str, endpoint: str = "chat/completions", **show: Any) -> str:
    """The data of one event, as the client sees it."""
    stream = Stream(endpoint, **(show or {"model": "alias"}))
    sent = stream.feed(f"data: {data}\n\n".encode()) + stream.finish()
    return sent.decode().removeprefix("data: ").removesuffix("\n\n")


@pytest.mark.parametrize(
    ("sent", "seen"),
    [
        ('{"model":"gpt"}', '{"model":"alias"}'),
        ('{ "model" : "gpt" , "a":1}', '{ "model" : "alias" , "a":1}'),
        ('{"choices":[{"a":1}],"model":"gpt"}', '{"choices":[{"a":1}],"model":"alias"}'),
        ('{"model":"","a":1}', '{"model":"alias","a":1}'),
        ('{"model":"g\\"p\\u0074"}', '{"model":"alias"}'),
        ('{"mod\\u0065l":"gpt"}', '{"mod\\u0065l":"gpt"}'),
        ('{"model":"a","model":"b"}', '{"model":"alias","model":"alias"}'),
        ('{"model":null}', '{"model":null}'),
        ('{"model":{"model":"gpt"}}', '{"model":{"model":"gpt"}}'),
        ('{"choices":[{"model":"gpt"}]}', '{"choices":[{"model":"gpt"}]}'),
        ('{"role":"model","model":"gpt"}', '{"role":"model","model":"alias"}'),
        (r'{"a":"\"model\":\"b\"","model":"gpt"}', r'{"a":"\"model\":\"b\"","model":"alias"}'),
        ('{"model":"gpt"', '{"model":"gpt"'),
        ('["model"]', '["model"]'),
    ],
)  # fmt: skip
def test_the_outermost_model_is_the_alias_and_nothing_else(sent: str, seen: str) -> None:
    assert shown(sent) == seen


def test_what_was_learnt_is_not_taken_for_the_model_deeper_inside() -> None:
    stream = Stream(model="alias")
    assert stream.feed(b'data: {"model":"gpt"}\n\n') == b'data: {"model":"alias"}\n\n'
    for data in (
        b'{"choices":[{"model":"gpt"}]}',
        b'{"a":{"model":"gpt"}}',
        b'{"a":[{"model":"gpt","b":1}],"c":{}}',
    ):
        assert stream.feed(b"data: " + data + b"\n\n") == b"data: " + data + b"\n\n"
    mixed = b'data: {"a":[{"model":"gpt"}],"model":"gpt","usage":{}}\n\n'
    assert stream.feed(mixed) == b'data: {"a":[{"model":"gpt"}],"model":"alias","usage":{}}\n\n'


def test_a_model_that_changes_is_hidden_too() -> None:
    stream = Stream(model="alias")
    for model in ("one", "two", "two", "three", "one"):
        sent = stream.feed(f'data: {{"model":"{model}","choices":[]}}\n\n'.encode())
        assert sent == b'data: {"model":"alias","choices":[]}\n\n'


def test_an_event_in_several_lines_keeps_its_lines() -> None:
    event = b'id: 7\r\ndata: {"a":[1],\r\n: why\r\ndata:"model":\r\ndata: "gpt"}\r\n\r\n'
    assert Stream(model="alias").feed(event) == event.replace(b'"gpt"', b'"alias"')


@pytest.mark.parametrize("alias", ['a"b', "a\\b", "é", "%1", "a\nb"])
def test_any_alias_is_written_as_json(alias: str) -> None:
    assert json.loads(shown('{"model":"gpt"}', model=alias)) == {"model": alias}
    assert shown('{"model":"gpt"}', model=alias).startswith('{"model":"')


def test_ids_are_shown_where_they_are_those_of_a_response() -> None:
    event = (
        '{"type":"response.created","response_id":"resp_1","item_id":"msg_1",'
        '"response":{"id":"resp_1","previous_response_id":"resp_0","output":[{"id":"msg_1"}]}}'
    )
    bound = shown(event, "responses", response_id=BINDER)
    assert bound == event.replace('resp_1"', 'resp_1.shown"').replace('resp_0"', 'resp_0.shown"')
    asked = shown(event, "responses", response_id=BINDER, previous_response_id="mine")
    assert asked == event.replace('resp_1"', 'resp_1.shown"').replace('resp_0"', 'mine"')
    assert shown(event, "responses", response_id=NOT_ALL) == event.replace("resp_1", "ours")
    assert shown(event, "chat/completions", response_id=BINDER) == event


def test_an_event_that_is_not_complete_is_held_until_its_model_is_known() -> None:
    stream = Stream(model="alias")
    event = b'data: {"choices":[{"delta":{"content":"a"}}],"model":"gpt"}\n\n'
    assert b"".join(stream.feed(event[at : at + 1]) for at in range(len(event) - 1)) == b""
    assert stream.feed(event[-1:]) == event.replace(b"gpt", b"alias")
    assert stream.feed(event[:-1]) == b""
    assert stream.finish() == event[:-1].replace(b"gpt", b"alias")


def test_an_event_without_end_is_let_through_with_the_model_that_was_learnt_hidden() -> None:
    stream = Stream("responses", model="alias")
    stream.feed(b'data: {"response":{"model":"gpt"}}\n\n')
    long = b'data: {"response":{"model":"gpt","output":"' + b"x" * (9 << 20)
    pieces = [long[at : at + 65536] for at in range(0, len(long), 65536)]
    sent = b"".join(stream.feed(piece) for piece in pieces)
    assert sent == long.replace(b'"gpt"', b'"alias"')
    assert stream.feed(b'"}}\n\n') == b'"}}\n\n'
    following = b'data: {"response":{"model":"gpt"}}\n\n'
    assert stream.feed(following) == following.replace(b"gpt", b"alias")


def test_errors_are_replaced_by_what_a_function_says() -> None:
    failure = LUA.run("""return function(data)
        return data:find("secret", 1, true) and '{"error":"ours"}' or nil
    end""")
    options = {"endpoint": "chat/completions", "failure": failure, "show": {"model": "alias"}}
    reader = LUA.raw("sse", "new", options)
    sent = reader[b"feed"](reader, b'event: error\ndata: {"error":{"message":"secret"}}\n\n')
    assert sent == b'event: error\ndata: {"error":"ours"}\n\n'
    other = b'data: {"error":null,"model":"gpt"}\n\n'
    assert reader[b"feed"](reader, other) == other.replace(b"gpt", b"alias")


def test_what_takes_the_place_of_an_error_has_our_own_names_too() -> None:
    failure = LUA.run('return function(data) return (data:gsub("secret", "ours")) end')
    show = {"model": "alias", "response_id": BINDER}
    reader = LUA.raw("sse", "new", {"endpoint": "responses", "failure": failure, "show": show})
    event = b'data: {"response":{"id":"resp_1","error":{"message":"secret"},"model":"gpt"}}\n\n'
    expected = event.replace(b"secret", b"ours").replace(b"gpt", b"alias")
    assert reader[b"feed"](reader, event) == expected.replace(b"resp_1", b"resp_1.shown")


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["model", "id", "a", "response"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(st.lists(st.dictionaries(st.sampled_from(["model", "a", "b"]), json_values), max_size=4))
def test_of_any_json_only_the_outermost_string_changes(events: list[dict[str, Any]]) -> None:
    stream = Stream(model="alias")
    for event in events:
        sent = stream.feed(f"data: {json.dumps(event)}\n\n".encode())
        seen = json.loads(sent.removeprefix(b"data: "))
        expected = dict(event)
        if isinstance(event.get("model"), str):
            expected["model"] = "alias"
        assert seen == expected
