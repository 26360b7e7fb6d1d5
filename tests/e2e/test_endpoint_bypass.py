"""What is authorised is what is sent: attempts to name another model, or another key's response,
at every endpoint."""

from __future__ import annotations

import dataclasses
import json

import httpx
import pytest

from tests.lua import forms
from tests.support.gateway import Gateway, test_key
from tests.support.matrix import BY_ALIAS
from tests.support.matrix_calls import CALLS, PICTURE, SOUND, Call
from tests.support.matrix_client import line_of, received_models, request, send

NAMING = [call for call in CALLS if call.model and call.endpoint != "files"]
JSON_CALLS = [
    call for call in NAMING if call.content_type == "application/json" and call.mode == "json"
]
FORM_CALLS = [call for call in NAMING if call.content_type == forms.CONTENT_TYPE]
FILES = {
    "images/edits": forms.file("image", PICTURE, "ferry.png"),
    "audio/transcriptions": forms.file("file", SOUND),
    "audio/translations": forms.file("file", SOUND),
}
OTHER = "a-dearer-model"


@pytest.fixture
def gateway(matrix_gateway: Gateway) -> Gateway:
    matrix_gateway.forget()
    return matrix_gateway


def row(call: Call) -> str:
    return f"{call.row}-{call.mode}"


def code_of(gateway: Gateway, call: Call, body: bytes, content_type: str = "") -> tuple[int, str]:
    """What a body is refused with; nothing of it may be sent."""
    changed = dataclasses.replace(
        call, body=body, content_type=content_type or call.content_type, simulate=""
    )
    answer = send(gateway, request(changed, "app"))
    assert gateway.received() == []
    return answer.status_code, answer.json()["error"]["code"]


# The model in other places


@pytest.mark.parametrize("call", NAMING, ids=row)
def test_a_model_in_the_query_is_left_behind(gateway: Gateway, call: Call) -> None:
    asked = request(call, "app", f"/v1/{call.endpoint}?model={OTHER}&Model={OTHER}&stream=false")
    answer = send(gateway, asked)
    assert answer.status_code == 200, answer.text
    (received,) = gateway.received()
    assert received.query == ""
    assert received_models(call, received) == [call.model]
    assert line_of(gateway, asked.agent)["alias"] == call.called
    assert OTHER.encode() not in b"".join(value.encode() for _, value in received.headers)


@pytest.mark.parametrize("call", NAMING, ids=row)
def test_a_model_in_the_query_allows_nothing(gateway: Gateway, call: Call) -> None:
    mine = "rerank-json" if call.row == "embeddings" else "embeddings-json"
    key_name = "stranger2" if call.row == "embeddings" else "stranger"
    answer = send(gateway, request(call, key_name, f"/v1/{call.endpoint}?model={mine}"))
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "model_not_allowed")
    assert gateway.received() == []


@pytest.mark.parametrize("name", ["openai-model", "x-model", "model"])
def test_a_model_in_a_header_is_no_model(gateway: Gateway, name: str) -> None:
    call = BY_ALIAS["chat-completions-json"]
    asked = request(call, "app", **{name: OTHER})
    assert send(gateway, asked).status_code == 200
    assert received_models(call, gateway.received()[0]) == [call.model]


@pytest.mark.parametrize("call", JSON_CALLS, ids=row)
@pytest.mark.parametrize(
    "name", [r"mod\u0065l", r"\u006dodel", "model", "Model", r"model\u0000"], ids=ascii
)
@pytest.mark.parametrize("place", ["before", "after"])
def test_a_second_spelling_of_the_model_in_json_is_ambiguous(
    gateway: Gateway, call: Call, name: str, place: str
) -> None:
    other = f'"{name}": "{OTHER}"'.encode()
    body = (
        b"{" + other + b", " + call.body[1:]
        if place == "before"
        else call.body[:-1] + b", " + other + b"}"
    )
    assert code_of(gateway, call, body) == (400, "ambiguous_body")


@pytest.mark.parametrize("call", JSON_CALLS, ids=row)
def test_a_model_that_is_only_spelled_with_escapes_is_none(gateway: Gateway, call: Call) -> None:
    body = call.body.replace(b'"model"', rb'"mod\u0065l"', 1)
    assert code_of(gateway, call, body) == (400, "ambiguous_body")


@pytest.mark.parametrize("call", FORM_CALLS, ids=row)
@pytest.mark.parametrize("name", ["model", "Model", "model[]", "model[0]"])
@pytest.mark.parametrize("place", ["before", "after"])
def test_a_second_model_in_a_form_is_ambiguous(
    gateway: Gateway, call: Call, name: str, place: str
) -> None:
    own, other = forms.text("model", call.called), forms.text(name, OTHER)
    models = [other, own] if place == "before" else [own, other]
    texts = [forms.text("prompt", "At dusk")] if call.endpoint == "images/edits" else []
    body = forms.form(*models, *texts, FILES[call.endpoint])
    assert code_of(gateway, call, body) == (400, "ambiguous_body")


@pytest.mark.parametrize("call", FORM_CALLS, ids=row)
@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "multipart/form-data"])
def test_json_is_no_body_of_an_endpoint_that_takes_a_form(
    gateway: Gateway, call: Call, content_type: str
) -> None:
    body = json.dumps({"model": call.called, "prompt": "At dusk"}).encode()
    assert code_of(gateway, call, body, content_type) == (400, "invalid_body")


@pytest.mark.parametrize("call", JSON_CALLS, ids=row)
def test_a_form_is_no_body_of_an_endpoint_that_takes_json(gateway: Gateway, call: Call) -> None:
    body = forms.form(forms.text("model", call.called))
    assert code_of(gateway, call, body, forms.CONTENT_TYPE) == (400, "invalid_body")


# Stored responses

RESPONSES = BY_ALIAS["responses-json"]


def stored(gateway: Gateway, key_name: str = "app") -> str:
    """The id of a new response of that key."""
    answer = send(gateway, request(RESPONSES, key_name))
    assert answer.status_code == 200, answer.text
    gateway.forget()
    return str(answer.json()["id"])


def by_id(gateway: Gateway, method: str, response_id: str, key_name: str) -> httpx.Response:
    call = dataclasses.replace(BY_ALIAS["responses-id-get-json"], method=method)
    return send(gateway, request(call, key_name, f"/v1/responses/{response_id}"))


def continued(gateway: Gateway, response_id: str, key_name: str) -> httpx.Response:
    body = json.loads(RESPONSES.body) | {"previous_response_id": response_id}
    call = dataclasses.replace(RESPONSES, body=json.dumps(body).encode())
    return send(gateway, request(call, key_name))


def require_unknown(gateway: Gateway, answer: httpx.Response, param: str) -> None:
    assert answer.status_code == 404, answer.text
    error = answer.json()["error"]
    assert (error["code"], error["param"]) == ("response_not_found", param)
    assert gateway.received() == []


def test_a_response_of_another_key_is_as_unknown_as_one_that_never_was(gateway: Gateway) -> None:
    own = stored(gateway)
    never = own.replace(own[5:12], "0" * 7)
    messages = set()
    for response_id in (own, never):
        for method in ("GET", "DELETE"):
            answer = by_id(gateway, method, response_id, "other")
            require_unknown(gateway, answer, "response_id")
            messages.add(answer.json()["error"]["message"])
        answer = continued(gateway, response_id, "other")
        require_unknown(gateway, answer, "previous_response_id")
        messages.add(answer.json()["error"]["message"])
    assert len(messages) == 1
    assert by_id(gateway, "GET", own, "app").json()["id"] == own


def tampered(own: str) -> dict[str, str]:
    raw, tag, mac = own.split(".")
    flipped = "0" if mac[-1] != "0" else "1"
    return {
        "raw": raw,
        "no-mac": f"{raw}.{tag}",
        "empty-mac": f"{raw}.{tag}.",
        "short-mac": f"{raw}.{tag}.{mac[:-1]}",
        "other-mac": f"{raw}.{tag}.{mac[:-1]}{flipped}",
        "capital-mac": f"{raw}.{tag}.{mac.upper()}",
        "other-raw": f"{raw[:-1]}{'0' if raw[-1] != '0' else '1'}.{tag}.{mac}",
        "other-tag": f"{raw}.{tag[::-1]}.{mac}",
        "more-raw": f"{raw}.{own}",
    }


@pytest.mark.parametrize("how", tampered("a.b.0"))
def test_an_id_that_was_tampered_with_is_unknown(gateway: Gateway, how: str) -> None:
    changed = tampered(stored(gateway))[how]
    for method in ("GET", "DELETE"):
        require_unknown(gateway, by_id(gateway, method, changed, "app"), "response_id")
    require_unknown(gateway, continued(gateway, changed, "app"), "previous_response_id")


@pytest.mark.parametrize(
    "below", ["/cancel", "/input_items", "/", "%2e%2e", "/..", "/../../batches", "%2Fcancel", ";x"]
)
def test_nothing_below_a_stored_response_is_reached(gateway: Gateway, below: str) -> None:
    answer = by_id(gateway, "GET", stored(gateway) + below, "app")
    assert answer.status_code in (400, 403, 404), answer.text
    assert gateway.received() == []


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_a_stored_response_is_only_read_and_deleted(gateway: Gateway, method: str) -> None:
    answer = by_id(gateway, method, stored(gateway), "app")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unknown_endpoint")
    assert gateway.received() == []


def test_the_query_of_a_stored_response_is_left_behind(gateway: Gateway) -> None:
    own = stored(gateway)
    answer = by_id(gateway, "GET", f"{own}?stream=true&model={OTHER}&include[]=x", "app")
    assert answer.json()["id"] == own
    assert gateway.received()[0].query == ""


# What is passed through unread


def test_files_are_opened_by_the_name_of_an_alias_and_by_nothing_else(gateway: Gateway) -> None:
    call = BY_ALIAS["files-json"]
    for key_name, status in (("app", 200), ("stranger", 403)):
        for path in ("/v1/files", "/v1/files?model=embeddings-json"):
            sent = request(call, key_name, path, **{"x-model": "embeddings-json"})
            assert send(gateway, sent).status_code == status
    assert {each.path for each in gateway.received()} == {"/openai/v1/files"}
    require_closed(gateway, ["files/../batches", "files/%2e%2e/batches", "files/a%2Fb", "filesx"])


def require_closed(gateway: Gateway, paths: list[str]) -> None:
    """They are refused as they stand: httpx would make some of them shorter before it sends."""
    gateway.forget()
    for path in paths:
        url = httpx.URL(gateway.endpoint).copy_with(raw_path=f"/v1/{path}".encode())
        answer = gateway.http.get(url, headers={"authorization": f"Bearer {test_key('app')}"})
        assert answer.status_code in (400, 403, 404), (path, answer.text)
    assert gateway.received() == []
