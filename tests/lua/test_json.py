"""envoy/lua/json.lua and lex.lua: strict reading of JSON by byte offsets."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.lua.modules import Modules

LUA = Modules()  # for Hypothesis, which would have to rebuild a fixture for every example

VALID = [
    "{}",
    " \t\r\n{ \t\r\n} \t\r\n",
    '{"a":1}',
    '{"a" : [ 1 , 2 ] , "b" : { } }',
    '{"":""}',
    '{"a":[[],{},[{}],{"b":[]}]}',
    '{"a":true,"b":false,"c":null}',
    '{"a":[0,-0,1,-1,10,0.5,-0.5,1e1,1E+1,1e-1,0e0,1.5E10,123456789012345678901234567890]}',
    '{"a":"\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\uD83d\\uDe00"}',
    '{"a":"\\ud800"}',
    '{"a":"\x7fé漢😀\u2028"}',
    '{"a":"}],[{:"}',
]

INVALID = [
    "",
    " ",
    "[]",
    "1",
    '"a"',
    "null",
    "{",
    "}",
    "{}{}",
    "{} x",
    "{},",
    '{"a"}',
    '{"a":}',
    '{"a" 1}',
    '{"a":1,}',
    '{,"a":1}',
    '{"a":1 "b":2}',
    '{"a":1,,"b":2}',
    "{a:1}",
    "{'a':1}",
    "{1:1}",
    '{"a":1]',
    '{"a":[1}',
    '{"a":[1,]}',
    '{"a":[,1]}',
    '{"a":[1 2]}',
    '{"a":[1',
    '{"a":{"b":1}',
    '{"a":1}}',
    '{"a":01}',
    '{"a":-}',
    '{"a":+1}',
    '{"a":.5}',
    '{"a":1.}',
    '{"a":1.e1}',
    '{"a":1e}',
    '{"a":1e+}',
    '{"a":0x1}',
    '{"a":-01}',
    '{"a":1a}',
    '{"a":NaN}',
    '{"a":Infinity}',
    '{"a":tru}',
    '{"a":truee}',
    '{"a":True}',
    '{"a":fals',
    '{"a":nul}',
    '{"a":"',
    '{"a":"\\"}',
    '{"a":"\\x"}',
    '{"a":"\\u12"}',
    '{"a":"\\u12G4"}',
    '{"a":"\\U0041"}',
    '{"a":"\\u+123"}',
    '{"a":"\n"}',
    '{"a":"\t"}',
    '{"a":"\x00"}',
    '{"a":"aaaa\x1fbbbb"}',
    '{"a\n":1}',
    '{"a":1}\x00',
    '{"a":\x0b1}',
    '{"a":\xa01}',
    '{"a":1 /* why */}',
    '{"a":1} // why',
    '\ufeff{"a":1}',
]


def refuses(text: bytes) -> bool:
    members, _ = LUA.call("json", "document", text)
    return members is None


def python_refuses(text: bytes) -> bool:
    def constant(name: str) -> None:
        raise ValueError(name)

    try:
        # Numbers as text: Python would refuse very long integers.
        value = json.loads(text.decode(), parse_constant=constant, parse_int=str, parse_float=str)
    except ValueError:
        return True
    return not isinstance(value, dict)


@pytest.mark.parametrize("text", VALID)
def test_every_form_that_rfc_8259_allows_is_read(text: str) -> None:
    assert not refuses(text.encode())


@pytest.mark.parametrize("text", INVALID)
def test_every_departure_from_rfc_8259_is_refused(text: str) -> None:
    assert refuses(text.encode())


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
json_objects = st.dictionaries(st.text(), json_values, max_size=6)


@given(json_objects, st.booleans(), st.sampled_from([None, 1]))
def test_whatever_python_writes_is_read(value: Any, ascii_only: bool, indent: int | None) -> None:
    assert not refuses(json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode())


@given(
    json_objects,
    st.data(),
    st.lists(st.sampled_from(list('{}[]:,"\\ \n\t0123456789-+.eEtrufalsn\x00\x1f')), max_size=3),
)
def test_a_damaged_text_is_judged_as_python_judges_it(
    value: Any, data: st.DataObject, inserted: list[str]
) -> None:
    text = json.dumps(value)
    first = data.draw(st.integers(0, len(text)))
    last = data.draw(st.integers(first, min(len(text), first + 3)))
    damaged = (text[:first] + "".join(inserted) + text[last:]).encode()
    # Half a surrogate pair in a top-level name has no UTF-8 spelling; Python reads it all the same.
    members, problem = LUA.call("json", "document", damaged)
    if members is None and b"surrogate" in problem:
        assert b"\\ud" in damaged.lower()
    else:
        assert (members is None) == python_refuses(damaged)


@given(json_objects, st.booleans(), st.sampled_from([None, 1]))
def test_the_spans_of_the_members_hold_their_names_and_values(
    value: dict[str, Any], ascii_only: bool, indent: int | None
) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode()
    members, last = LUA.call("json", "document", text)
    assert text[last - 1 :].strip() == b"}"
    read = {}
    for member in members or []:
        start = member["key_start"]
        assert text[start : start + len(member["raw"])] == member["raw"]
        assert text[start - 1 : start] == text[start + len(member["raw"]) :][:1] == b'"'
        read[member["key"].decode()] = json.loads(
            text[member["value_start"] - 1 : member["value_end"]]
        )
    assert read == value
    assert list(read) == list(value)


def test_an_object_inside_a_text_is_read_from_its_place(modules: Modules) -> None:
    text = b'[{"a":1}, {"b":2} oops'
    members, last = modules.call("json", "members", text, 10)
    assert [member["key"] for member in members] == [b"b"]
    assert last == text.index(b"} oops") + 1


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")])
def test_nesting_a_hundred_thousand_deep_is_read_and_must_close(opening: str, closing: str) -> None:
    depth = 100_000
    text = ('{"a":' + opening * depth + "1" + closing * depth + "}").encode()
    assert not refuses(text)
    assert refuses(text[:-2] + b"}")
    assert refuses(text + closing.encode())
    wrong = text.replace(b"1" + closing.encode(), b"1" + (b"}" if closing == "]" else b"]"), 1)
    assert refuses(wrong)


def test_names_are_decoded_and_kept_as_spelled(modules: Modules) -> None:
    members, _ = modules.call("json", "document", rb'{"m\u006fdel":1,"\ud83d\ude00":2}')
    assert [(member["key"], member["raw"]) for member in members] == [
        (b"model", rb"m\u006fdel"),
        ("😀".encode(), rb"\ud83d\ude00"),
    ]


def test_a_name_with_half_a_surrogate_pair_is_refused(modules: Modules) -> None:
    for text in (rb'{"\ud83d":1}', rb'{"\ude00":1}', rb'{"\ud83d\u0041":1}', rb'{"\ud83dx":1}'):
        assert modules.call("json", "document", text) == (
            None,
            b"half a surrogate pair in a member name at byte 2",
        )


def test_limits_on_members_and_names_hold_for_the_object_itself_only(modules: Modules) -> None:
    def problem(text: bytes) -> object:
        limits = {"max_members": 2, "max_name_bytes": 3}
        members, found = modules.call("json", "members", text, 1, limits)
        return found if members is None else None

    assert problem(b'{"a":{"long name":1,"b":2,"c":3}}') is None
    assert problem(b'{"a":1,"b":2}') is None
    assert problem(b'{"a":1,"b":2,"c":3}') == b"more than 2 members at byte 14"
    assert problem(b'{"abc":1}') is None
    assert problem(b'{"abcd":1}') == b"member name of more than 3 bytes at byte 2"


def test_messages_give_a_position_and_nothing_of_the_text(modules: Modules) -> None:
    text = b'{"secret":"secret\\q"}'
    assert modules.call("json", "document", text) == (None, b"malformed escape at byte 18")


@given(st.text())
def test_a_string_survives_encoding_and_decoding(text: str) -> None:
    literal = LUA.call("json", "encode_string", text.encode())
    assert json.loads(literal) == text
    assert LUA.call("json", "decode_string", literal) == text.encode()
    assert LUA.call("json", "decode_string", json.dumps(text).encode()) == text.encode()


@pytest.mark.parametrize(
    "literal",
    ["", '"', "a", '"a', 'a"', '"a"b"', '"\\"', '"\n"', '"a" ', '"\\ud800"', '"\\udc00x"'],
)
def test_what_is_not_a_string_literal_is_not_decoded(modules: Modules, literal: str) -> None:
    value, problem = modules.call("json", "decode_string", literal.encode())
    assert value is None
    assert problem in (b"not a string literal", b"half a surrogate pair")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("-0", 0),
        ("17", 17),
        ("1e3", 1000),
        ("10.0", 10),
        ("2500e-2", 25),
        ("9007199254740992", 2**53),
        ("9007199254740994", None),
        ("-1", None),
        ("0.5", None),
        ("1e400", None),
        ("1" * 100_000, None),
        ('"1"', None),
        ("null", None),
        ("0x10", None),
        ("1 ", None),
    ],
)
def test_an_integer_is_read_in_any_spelling_and_nothing_else_is(
    modules: Modules, text: str, value: int | None
) -> None:
    assert modules.call("json", "integer", text.encode(), 1, len(text)) == value
