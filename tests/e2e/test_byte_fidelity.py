"""The provider receives the client's bytes, except the model's value and the policy's parameters.

What is expected is put together here from the pieces of the body, never by parsing it.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.gateway import Gateway, test_key

CHAT = "/v1/chat/completions"
PROVIDERS_CHAT = "/openai/v1/chat/completions"
MESSAGES = b'"messages":[{"role":"user","content":"Say hello"}]'
# What the gateway puts in the place of the alias `chat` (max_output_tokens: 1000).
CHAT_MODEL = b'"gpt-4o-2024-11-20","max_completion_tokens":1000'


def received_body(gateway: Gateway, body: bytes, status: int | None = 200) -> bytes:
    """What the provider got for a body that was posted; `status` None where any will do."""
    gateway.forget()
    answer = gateway.post(CHAT, body, "app")
    assert status in {None, answer.status_code}, answer.text
    [request] = gateway.received()
    assert request.header("content-length") == str(len(request.body))
    return request.body


ODD_BODIES = {
    "numbers": b'"seed":-0,"a":1.0,"b":1e-7,"c":1E400,"d":12345678901234567890123,"e":-1.50E+03',
    "unicode": '"user":"Grüße 東京 🚀 \u2028 ﷽","kl\u00fcsse":"\x7f"'.encode(),
    "surrogate escapes": rb'"user":"\ud83d\ude80 \ud800 \uDFFF \u0000 \/ \b"',
    "escaped keys": rb'"us\u0065r":"x","met\u0061data":{"m\u006fdel":"y"}',
    "nested models": b'"a":{"model":"chat","b":[{"model":"secret-model"}]},"metadata":{"model":1}',
    "duplicate nested keys": b'"metadata":{"a":1,"a":2,"model":"x","model":"y"}',
    "order in a schema": (
        b'"response_format":{"type":"json_schema","json_schema":{"name":"s","schema":{"type":'
        b'"object","properties":{"zeta":{"type":"string"},"alpha":{"type":"number"},"1":{}},'
        b'"required":["zeta","alpha"],"additionalProperties":false}}}'
    ),
    "whitespace": b'  "a" \t:\r\n [ 1 ,\n2 ]\r,\r\n"b":{ }  ,"c":[\t]',
    "a model in a string": rb'"user":"\"model\":\"gpt-4\",\"max_tokens\":1"',
}


@pytest.mark.parametrize("odd", ODD_BODIES.values(), ids=ODD_BODIES)
@pytest.mark.parametrize("first", [True, False], ids=["before the model", "after the model"])
def test_odd_bytes_reach_the_provider_as_they_are(
    gateway: Gateway, odd: bytes, first: bool
) -> None:
    before, after = (odd + b",", b"") if first else (b"", b"," + odd)
    head = b"{" + before + b'"model" :\t'
    tail = after + b" , " + MESSAGES + b"\n}\r\n"
    assert received_body(gateway, head + b'"chat"' + tail) == head + CHAT_MODEL + tail


def test_a_body_nested_two_thousand_deep_reaches_the_provider_as_it_is(gateway: Gateway) -> None:
    deep = b'"deep":' + b'[{"model":' * 1000 + b"1" + b"}]" * 1000 + b"," + MESSAGES + b"}"
    # The simulator, which is Python, cannot parse it; what counts is what it was sent.
    got = received_body(gateway, b'{"model":"chat",' + deep, status=None)
    assert got == b'{"model":' + CHAT_MODEL + b"," + deep


def test_a_picture_of_ten_megabytes_reaches_the_provider_as_it_is(gateway: Gateway) -> None:
    picture = base64.b64encode(os.urandom(10_000_000))
    tail = (
        b',"messages":[{"role":"user","content":[{"type":"image_url","image_url":'
        b'{"url":"data:image/png;base64,' + picture + b'"}}]}]}'
    )
    got = received_body(gateway, b'{"model":"chat"' + tail)
    # Compared first: a failed == of two such strings would take minutes to explain.
    assert (got == b'{"model":' + CHAT_MODEL + tail) is True


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)
GOVERNED = {"model", "stream", "stream_options", "n", "max_tokens"} | {
    "max_completion_tokens",
    "max_output_tokens",
}
NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=12).filter(
    lambda name: (
        name.split("\0")[0].lower().replace("ſ", "s").replace("\u212a", "k") not in GOVERNED  # noqa: RUF001
    )
)


@st.composite
def bodies(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """What comes before and after the value of `model` in a JSON object of random members."""
    members = draw(st.dictionaries(NAMES, JSON, max_size=6))
    ascii_only, indent = draw(st.booleans()), draw(st.sampled_from([None, 0, 3]))
    spelled = [_member(name, value, ascii_only, indent) for name, value in members.items()]
    place = draw(st.integers(0, len(spelled)))
    gap = draw(st.text(" \t\r\n", max_size=3)).encode()
    head = b",".join([*spelled[:place], gap + b'"model"' + gap + b":" + gap])
    return gap + b"{" + head, gap + b"".join(b"," + one for one in spelled[place:]) + b"}" + gap


def _member(name: str, value: object, ascii_only: bool, indent: int | None) -> bytes:
    # Lone surrogates have no UTF-8; escaped they are JSON. NaN and infinities are not JSON at all.
    text = json.dumps({name: value}, ensure_ascii=ascii_only, indent=indent, default=str)
    for word in ("-Infinity", "Infinity", "NaN"):
        text = text.replace(word, "1e999")
    return text.strip()[1:-1].encode(errors="replace")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(body=bodies())
def test_any_json_body_reaches_the_provider_with_only_its_model_replaced(
    shared_gateway: Gateway, body: tuple[bytes, bytes]
) -> None:
    head, tail = body
    got = received_body(shared_gateway, head + b'"chat"' + tail, status=None)
    assert got == head + CHAT_MODEL + tail


def test_a_chunked_upload_arrives_whole_and_with_its_length(gateway: Gateway) -> None:
    def pieces() -> Iterator[bytes]:
        yield from (b'{"mod', b'el":"ch', b'at"', b",", MESSAGES, b"}")

    headers = {"authorization": f"Bearer {test_key('app')}", "content-type": "application/json"}
    answer = gateway.http.post(CHAT, content=pieces(), headers=headers)
    assert answer.request.headers["transfer-encoding"] == "chunked"
    assert answer.status_code == 200, answer.text
    [request] = gateway.received()
    assert request.body == b'{"model":' + CHAT_MODEL + b"," + MESSAGES + b"}"
    assert request.header("content-length") == str(len(request.body))
    assert request.header("transfer-encoding") is None


def test_a_client_that_speaks_http2_is_served_alike(gateway: Gateway) -> None:
    headers = {"authorization": f"Bearer {test_key('app')}", "content-type": "application/json"}
    with httpx.Client(http1=False, http2=True, base_url=gateway.endpoint, trust_env=False) as http:
        body = b'{"model":"chat",' + MESSAGES + b"}"
        answer = http.post(CHAT, content=body, headers=headers)
    assert (answer.http_version, answer.status_code) == ("HTTP/2", 200)
    [request] = gateway.received()
    assert request.body == b'{"model":' + CHAT_MODEL + b"," + MESSAGES + b"}"


# What is refused

BODY = b'{"model":"chat",' + MESSAGES + b"}"
REFUSED: dict[str, tuple[bytes, str]] = {
    "model twice": (b'{"model":"chat","model":"chat",' + MESSAGES + b"}", "ambiguous_body"),
    "model twice, far apart": (BODY[:-1] + b',"model":"secret-model"}', "ambiguous_body"),
    "escaped model": (rb'{"mod\u0065l":"chat",' + MESSAGES + b"}", "ambiguous_body"),
    "escaped model beside model": (BODY[:-1] + rb',"\u006dodel":"x"}', "ambiguous_body"),
    "Model": (b'{"Model":"chat",' + MESSAGES + b"}", "ambiguous_body"),
    "MODEL beside model": (BODY[:-1] + b',"MODEL":"secret-model"}', "ambiguous_body"),
    "max_tokens twice": (BODY[:-1] + b',"max_tokens":1,"max_tokens":9999}', "ambiguous_body"),
    "not JSON": (b"model=chat", "invalid_body"),
    "truncated": (BODY[:-1], "invalid_body"),
    "truncated in a string": (BODY[:-12], "invalid_body"),
    "trailing garbage": (BODY + b"x", "invalid_body"),
    "two documents": (BODY + BODY, "invalid_body"),
    "an array": (b"[" + BODY + b"]", "invalid_body"),
    "a comment": (b"/**/" + BODY, "invalid_body"),
    "a byte order mark": (b"\xef\xbb\xbf" + BODY, "invalid_body"),
    "UTF-16": (BODY.decode().encode("utf-16"), "invalid_body"),
    "empty": (b"", "invalid_body"),
    "model is a number": (b'{"model":1,' + MESSAGES + b"}", "model_missing"),
    "model is a list": (b'{"model":["chat"],' + MESSAGES + b"}", "model_missing"),
    "model is null": (b'{"model":null,' + MESSAGES + b"}", "model_missing"),
    "model is empty": (b'{"model":"",' + MESSAGES + b"}", "model_missing"),
    "no model": (b"{" + MESSAGES + b"}", "model_missing"),
    "n is a string": (BODY[:-1] + b',"n":"2"}', "invalid_body"),
    "max_tokens is a fraction": (BODY[:-1] + b',"max_tokens":10.5}', "invalid_body"),
    "stream is a number": (BODY[:-1] + b',"stream":1}', "invalid_body"),
}


@pytest.mark.parametrize(("body", "code"), REFUSED.values(), ids=REFUSED)
def test_a_body_that_has_no_one_reading_is_refused_and_never_forwarded(
    gateway: Gateway, body: bytes, code: str
) -> None:
    answer = gateway.post(CHAT, body, "app")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert gateway.received() == []


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""]
)
def test_a_body_that_is_not_called_json_is_refused(gateway: Gateway, content_type: str) -> None:
    answer = gateway.post(CHAT, BODY, "app", {"content-type": content_type})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_body")
    assert gateway.received() == []


def test_a_content_type_with_a_charset_is_json(gateway: Gateway) -> None:
    answer = gateway.post(CHAT, BODY, "app", {"content-type": "Application/JSON; charset=utf-8"})
    assert answer.status_code == 200


# The policy's parameters


def test_a_larger_token_cap_is_lowered_in_its_place(gateway: Gateway) -> None:
    got = received_body(gateway, b'{"max_tokens" : 5000 ,"model":"chat",' + MESSAGES + b"}")
    assert got == b'{"max_tokens" : 1000 ,"model":"gpt-4o-2024-11-20",' + MESSAGES + b"}"


def test_a_smaller_token_cap_stays(gateway: Gateway) -> None:
    tail = b',"max_completion_tokens":7,' + MESSAGES + b"}"
    got = received_body(gateway, b'{"model":"chat"' + tail)
    assert got == b'{"model":"gpt-4o-2024-11-20"' + tail


def test_defaults_are_added_where_the_client_set_nothing(gateway: Gateway) -> None:
    tail = b',"seed":null,"temperature":1.5,' + MESSAGES + b"}"
    got = received_body(gateway, b'{"model":"chat-defaults"' + tail)
    added = b'"gpt-4o-mini","max_completion_tokens":4096,"stop":["END"]'
    assert got == b'{"model":' + added + tail


def test_a_provider_of_the_older_dialect_gets_the_field_it_obeys(gateway: Gateway) -> None:
    got = received_body(gateway, b'{"model":"chat-other",' + MESSAGES + b"}")
    assert got == b'{"model":"other-large","max_tokens":500,' + MESSAGES + b"}"


def test_a_stream_asks_for_usage_unless_the_provider_always_sends_it(gateway: Gateway) -> None:
    tail = b',"max_tokens":5,"stream":true,' + MESSAGES + b"}"
    asked = received_body(gateway, b'{"model":"chat"' + tail)
    plain = received_body(gateway, b'{"model":"chat-other"' + tail)
    option = b',"stream_options":{"include_usage":true}'
    assert asked == b'{"model":"gpt-4o-2024-11-20"' + option + tail
    assert plain == b'{"model":"other-large"' + tail


def test_usage_is_switched_on_inside_the_clients_own_stream_options(gateway: Gateway) -> None:
    head, model = b'{"max_tokens":5,"stream":true,"stream_options":{', b',"model":"%s",'
    tail = MESSAGES + b"}"
    own = b'"include_obfuscation":false}' + model % b"chat" + tail
    got = received_body(gateway, head + own)
    real = model % b"gpt-4o-2024-11-20" + tail
    assert got == head + b'"include_usage":true,"include_obfuscation":false}' + real
    off = received_body(gateway, head + b'"include_usage": false}' + model % b"chat" + tail)
    assert off == head + b'"include_usage": true}' + real


def test_a_model_in_the_query_is_ignored_and_not_forwarded(gateway: Gateway) -> None:
    answer = gateway.post(f"{CHAT}?model=secret-model&api-version=1", BODY, "app")
    assert answer.status_code == 200
    [request] = gateway.received()
    assert (request.path, request.query) == (PROVIDERS_CHAT, "")
    assert request.body.startswith(b'{"model":' + CHAT_MODEL)


@pytest.mark.parametrize("alias", ["chat", "chat-defaults", "chat-other"])
@pytest.mark.parametrize(
    "caps",
    [{}, {"max_tokens": 30}, {"max_tokens": 90_000}, {"max_completion_tokens": 300, "n": 3}],
    ids=str,
)
def test_the_cap_that_is_sent_is_the_one_that_was_reserved(
    gateway: Gateway, alias: str, caps: dict[str, int]
) -> None:
    answer = gateway.chat("app", model=alias, **caps)
    [request] = gateway.received()
    sent = json.loads(request.body)
    reserved = gateway.log_line(answer.headers["x-request-id"])["reservation"]["output_tokens"]
    # The field that this provider obeys: a `max_completion_tokens` alone says nothing to `other`.
    field = "max_tokens" if alias == "chat-other" else "max_completion_tokens"
    enforced = sent.get(field, sent.get("max_tokens"))
    assert enforced * caps.get("n", 1) == reserved
