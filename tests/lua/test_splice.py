"""envoy/lua/splice.lua: the rewritten body, and every other byte as it was."""

import json
import re
from itertools import accumulate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lupa.luajit21 import LuaError

from tests.lua.modules import Modules

LUA = Modules()  # for Hypothesis, which would have to rebuild a fixture for every example

CAPS = ["max_tokens", "max_completion_tokens", "max_output_tokens"]
PLAIN: dict[str, Any] = {
    "model": "X",
    "include_usage": False,
    "max_tokens_field": "max_completion_tokens",
    "defaults": {},
}
USAGE = PLAIN | {"include_usage": True}
CLAMP = PLAIN | {"max_output_tokens": 100}
DEFAULT = PLAIN | {"default_max_output_tokens": 50}


def lua_rules(rules: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in rules.items() if value is not None}


def rewrite(body: str, rules: dict[str, Any]) -> str:
    spans = LUA.call("scan", "read", body.encode(), "chat/completions")["spans"]
    rewritten: bytes = LUA.call("splice", "rewrite", body.encode(), spans, lua_rules(rules))
    return rewritten.decode()


def test_the_model_value_alone_is_replaced() -> None:
    body = (
        '\n{ "z": 1.0,\t"model" : "alias" , "a":1e2,"x":"\\u00e9\\/",'
        '"n":1,"y":{"model":"alias"}}\r\n'
    )
    assert rewrite(body, PLAIN) == body.replace('"alias" ,', '"X" ,', 1)


def test_a_model_name_with_quotes_stays_one_string() -> None:
    body = rewrite('{"model":"m"}', PLAIN | {"model": 'a"b\\c\n'})
    assert json.loads(body) == {"model": 'a"b\\c\n'}


@pytest.mark.parametrize(
    ("member", "expected"),
    [
        ('"stream":true', '{"model":"X","stream_options":{"include_usage":true},"stream":true}'),
        ('"stream_options":null', '{"model":"X","stream_options":{"include_usage":true}}'),
        ('"stream_options":{}', '{"model":"X","stream_options":{"include_usage":true}}'),
        ('"stream_options":{ \n}', '{"model":"X","stream_options":{"include_usage":true \n}}'),
        (
            '"stream_options":{ "a":1}',
            '{"model":"X","stream_options":{"include_usage":true, "a":1}}',
        ),
        (
            '"stream_options":{"include_usage":false}',
            '{"model":"X","stream_options":{"include_usage":true}}',
        ),
        (
            '"stream_options":{"include_usage": null }',
            '{"model":"X","stream_options":{"include_usage": true }}',
        ),
        (
            '"stream_options":{"include_usage":true}',
            '{"model":"X","stream_options":{"include_usage":true}}',
        ),
    ],
)
def test_usage_is_forced_however_the_client_spelled_its_options(member: str, expected: str) -> None:
    assert rewrite('{"model":"m",' + member + "}", USAGE) == expected


def test_usage_is_not_touched_when_it_is_not_forced() -> None:
    body = '{"model":"m","stream_options":{"include_usage":false}}'
    assert rewrite(body, PLAIN) == body.replace('"m"', '"X"')


@pytest.mark.parametrize(
    ("member", "rules", "expected"),
    [
        ('"a":1', CLAMP, '{"model":"X","max_completion_tokens":100,"a":1}'),
        ('"a":1', DEFAULT, '{"model":"X","max_completion_tokens":50,"a":1}'),
        ('"a":1', CLAMP | DEFAULT, '{"model":"X","max_completion_tokens":100,"a":1}'),
        ('"a":1', PLAIN, '{"model":"X","a":1}'),
        ('"max_completion_tokens":null', CLAMP, '{"model":"X","max_completion_tokens":100}'),
        ('"max_completion_tokens":101', CLAMP, '{"model":"X","max_completion_tokens":100}'),
        ('"max_completion_tokens":1e2', CLAMP, '{"model":"X","max_completion_tokens":1e2}'),
        ('"max_tokens":1e9', CLAMP, '{"model":"X","max_tokens":100}'),
        ('"max_tokens":7.0', CLAMP, '{"model":"X","max_tokens":7.0}'),
        ('"max_tokens":1e9', DEFAULT, '{"model":"X","max_tokens":1e9}'),
        (
            '"max_tokens":200,"max_completion_tokens":5',
            CLAMP,
            '{"model":"X","max_tokens":100,"max_completion_tokens":5}',
        ),
    ],
)
def test_the_output_is_capped(member: str, rules: dict[str, Any], expected: str) -> None:
    assert rewrite('{"model":"m",' + member + "}", rules) == expected


def test_a_null_in_another_field_does_not_stand_in_for_the_providers_own() -> None:
    body = rewrite('{"model":"m","max_tokens":null}', CLAMP)
    assert body == '{"model":"X","max_completion_tokens":100,"max_tokens":null}'


@pytest.mark.parametrize(
    ("field", "sent"),
    [
        ("max_completion_tokens", "max_output_tokens"),
        ("max_tokens", "max_output_tokens"),
    ],
)
def test_a_cap_in_a_field_that_the_provider_may_ignore_is_repeated_in_its_own(
    field: str, sent: str
) -> None:
    for rules in (CLAMP, DEFAULT):
        body = rewrite(f'{{"model":"m","{sent}":7}}', rules | {"max_tokens_field": field})
        assert body == f'{{"model":"X","{field}":7,"{sent}":7}}'


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ('"max_completion_tokens":7', '{"model":"X","max_tokens":7}'),
        ('"max_completion_tokens" : 700', '{"model":"X","max_tokens" : 100}'),
        ('"max_tokens":9, "max_completion_tokens":7', '{"model":"X","max_tokens":9}'),
        ('"max_tokens":7, "max_completion_tokens":9', '{"model":"X", "max_tokens":9}'),
        ('"max_tokens":null,"max_completion_tokens":9', '{"model":"X","max_tokens":9}'),
        ('"max_completion_tokens":null', '{"model":"X","max_tokens":100}'),
    ],
)
def test_a_provider_that_knows_max_tokens_alone_is_told_no_other_name(
    sent: str, expected: str
) -> None:
    rules = CLAMP | {"max_tokens_field": "max_tokens"}
    assert rewrite('{"model":"m",' + sent + "}", rules) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('{"stream_options":{"include_usage":true},"model":"m"}', '{"model":"X"}'),
        ('{ "stream_options" : null , "model":"m"}', '{  "model":"X"}'),
        ('{"model":"m" , "stream_options":{"a":1}}', '{"model":"X" }'),
        ('{"model":"m","stream_options":{},"n":1}', '{"model":"X","n":1}'),
    ],
)
def test_a_provider_that_reports_unasked_is_not_asked(body: str, expected: str) -> None:
    assert rewrite(body, PLAIN | {"drop_stream_options": True}) == expected


def test_large_limits_are_written_as_integers() -> None:
    rules = PLAIN | {"max_output_tokens": 2**53}
    assert rewrite('{"model":"m"}', rules) == (
        '{"model":"X","max_completion_tokens":9007199254740992}'
    )


def test_defaults_fill_only_what_the_client_left_out_in_the_order_of_their_names() -> None:
    defaults = {"top_p": "0.5", "seed": "1", "temperature": "0.20", 'a"b': '{"x":[1]}'}
    body = '{"temperature":null,"model":"m","s\\u0065ed":9}'
    assert rewrite(body, PLAIN | {"defaults": defaults}) == (
        '{"temperature":null,"model":"X","a\\u0022b":{"x":[1]},"top_p":0.5,"s\\u0065ed":9}'
    )


@pytest.mark.parametrize(
    ("limit", "default", "client", "expected"),
    [
        (100, None, None, 100),
        (100, 50, None, 100),
        (None, 50, None, 50),
        (None, None, None, None),
        (100, None, 7, 7),
        (100, None, 700, 100),
        (None, 50, 700, 700),
        (None, None, 700, 700),
    ],
)
def test_the_cap_in_force_is_the_smaller_of_the_clients_and_the_policys(
    limit: int | None, default: int | None, client: int | None, expected: int | None
) -> None:
    rules = lua_rules({"max_output_tokens": limit, "default_max_output_tokens": default})
    assert LUA.call("splice", "effective_max", rules, client) == expected


@pytest.mark.parametrize(
    "spans",
    [
        {},
        {"model": [10, 13]},
        {"model": [9, 12]},
        {"model": [10, 10]},
        {"model": [10, 12], "n": [0, 1]},
        {"model": [10, 12], "n": [14, 14]},
        {"model": [10, 12], "n": [5, 4]},
        {"model": [10, 12], "max_tokens": [11, 11]},
    ],
)
def test_spans_that_do_not_fit_the_body_raise(spans: dict[str, list[int]]) -> None:
    body = b'{"model":"9"}'
    LUA.call("splice", "rewrite", body, {"model": [10, 12], "whole": [1, 13]}, CLAMP)
    with pytest.raises(LuaError, match=r"span|overlapping"):
        LUA.call("splice", "rewrite", body, spans, CLAMP | {"max_output_tokens": 1})


def test_a_provider_field_that_is_not_known_raises() -> None:
    with pytest.raises(LuaError, match="unknown max_tokens_field"):
        rewrite('{"model":"m"}', CLAMP | {"max_tokens_field": "max_out"})


def test_an_error_quotes_nothing_of_the_body() -> None:
    with pytest.raises(LuaError) as caught:
        LUA.call("splice", "rewrite", b'{"secret":1}', {"secret": [99, 99]}, PLAIN)
    assert "secret" not in str(caught.value)


# The oracle: the same rules over parsed values.


def capped(body: dict[str, Any], rules: dict[str, Any]) -> dict[str, Any]:
    limit, default = rules["max_output_tokens"], rules["default_max_output_tokens"]
    if limit is None and default is None:
        return {}
    sent = {name: body[name] for name in CAPS if body.get(name) is not None}
    changes = {name: limit for name, value in sent.items() if limit and value > limit}
    field = rules["max_tokens_field"]
    obeyed = {field} | ({"max_tokens"} if field == "max_completion_tokens" else set())
    if not obeyed & set(sent):
        smallest = [
            number for number in (limit, max(sent.values(), default=None)) if number is not None
        ]
        changes[field] = min(smallest, default=default)
    return changes


def spoken_older(body: dict[str, Any], rules: dict[str, Any]) -> dict[str, Any]:
    """Without what a provider would refuse that knows the older names alone, or reports unasked."""
    body = dict(body)
    if rules["max_tokens_field"] == "max_tokens" and "max_completion_tokens" in body:
        newer, older = body.pop("max_completion_tokens"), body.get("max_tokens")
        if "max_tokens" not in body or (newer or -1) > (older or -1):
            body["max_tokens"] = newer
    if rules["drop_stream_options"]:
        body.pop("stream_options", None)
    return body


def expected_of(body: dict[str, Any], rules: dict[str, Any]) -> dict[str, Any]:
    body = spoken_older(body, rules)
    changes: dict[str, Any] = {"model": rules["model"]} | capped(body, rules)
    if rules["include_usage"]:
        changes["stream_options"] = (body.get("stream_options") or {}) | {"include_usage": True}
    defaults = {name: json.loads(text) for name, text in rules["defaults"].items()}
    return defaults | body | changes


def member_place(body: bytes, name: str, span: list[int]) -> tuple[int, int]:
    """Where a whole member is, with the commas and spaces around it."""
    before = body[: body.rindex(f'"{name}"'.encode(), 0, span[0])].rstrip(b", \n")
    rest = body[span[1] :]
    return len(before) + 1, span[1] + len(rest) - len(rest.lstrip(b", \n")) + 1


def fixed_parts(body: bytes, spans: dict[str, list[int]]) -> list[bytes]:
    """What lies around every place where an edit is allowed."""
    places = [(1, 1)]
    for name in ("max_tokens", "max_completion_tokens", "stream_options"):
        if name in spans:
            places.append(member_place(body, name, spans[name]))
    for name in ("model", *CAPS, "stream_options.include_usage"):
        if name in spans:
            places.append((spans[name][0], spans[name][1] + 1))
    options = spans.get("stream_options")
    if options and "stream_options.include_usage" not in spans:
        is_object = body[options[0] - 1 : options[0]] == b"{"
        start = options[0] + 1 if is_object else options[0]
        places.append((start, start if is_object else options[1] + 1))
    places.append((len(body) + 1, len(body) + 1))
    places.sort()
    ends = accumulate((end for _, end in places), max)
    starts = [start for start, _ in places[1:]]
    return [body[end - 1 : start - 1] for end, start in zip(ends, starts, strict=False)]


cap_values = st.none() | st.integers(1, 200)
any_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["model", "n", "é"]), inner, max_size=2)
    ),
    max_leaves=6,
)
bodies = st.fixed_dictionaries(
    {"model": st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=9)},
    optional={
        "stream": st.booleans(),
        "stream_options": st.none()
        | st.fixed_dictionaries(
            {}, optional={"include_usage": st.none() | st.booleans(), "a": st.just(1)}
        ),
        "max_tokens": cap_values,
        "max_completion_tokens": cap_values,
        "max_output_tokens": cap_values,
        "temperature": st.none() | st.floats(0, 2),
        "messages": any_values,
        'odd "name"\n': any_values,
    },
)
rule_sets = st.fixed_dictionaries(
    {
        "model": st.text(),
        "include_usage": st.booleans(),
        "drop_stream_options": st.booleans(),
        "max_output_tokens": st.none() | st.integers(1, 300),
        "default_max_output_tokens": st.none() | st.integers(1, 300),
        "max_tokens_field": st.sampled_from(["max_tokens", "max_completion_tokens"]),
        "defaults": st.dictionaries(
            st.sampled_from(["temperature", "top_p", 'odd "name"\n']),
            st.sampled_from(["0.2", "null", '{"a":[]}']),
        ),
    }
)


@given(
    bodies, st.randoms(use_true_random=False), rule_sets, st.booleans(), st.sampled_from([None, 2])
)
def test_only_what_the_rules_say_changes_in_meaning_and_in_bytes(
    members: dict[str, Any],
    random: Any,
    rules: dict[str, Any],
    ascii_only: bool,
    indent: int | None,
) -> None:
    rules["include_usage"] &= not rules["drop_stream_options"]
    names = list(members)
    random.shuffle(names)
    body = {name: members[name] for name in names}
    text = json.dumps(body, ensure_ascii=ascii_only, indent=indent)
    rewritten = rewrite(text, rules)
    pairs = json.loads(rewritten, object_pairs_hook=list)
    assert len(pairs) == len(dict(pairs))
    assert json.loads(rewritten) == expected_of(body, rules)
    spans = LUA.call("scan", "read", text.encode(), "chat/completions")["spans"]
    pattern = b".*?".join(map(re.escape, fixed_parts(text.encode(), spans)))
    assert re.fullmatch(pattern, rewritten.encode(), re.DOTALL)
