"""envoy/lua/request.lua in a real Envoy: what is told of each request.

A second filter answers with the facts, as headers, and with the body as splice.lua would send it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from openai import DefaultHttpxClient, OpenAI

from tests.lua.forms import CONTENT_TYPE, file, form, text
from tests.lua.modules import SOURCE
from tests.support.parts import envoy_of
from tollhouse import endpoints

ANSWER = """
package.path = "DIR/?.lua"
local splice = require("splice")
local function body_of(handle)
  local spans = (handle:streamInfo():dynamicMetadata():get("tollhouse.body") or {})["spans"]
  if not spans then return "" end
  local body = handle:body()
  local bytes = body:getBytes(0, body:length())
  return splice.rewrite(bytes, spans, {model = "real", include_usage = false, defaults = {}})
end
function envoy_on_request(handle)
  local answer = {[":status"] = "200"}
  local body = body_of(handle)
  for name, value in pairs(handle:streamInfo():dynamicMetadata():get("tollhouse.request")) do
    answer["fact-" .. name] = value
  end
  handle:respond(answer, body)
end
"""


def lua_filter(name: str, code: str) -> dict[str, Any]:
    kind = "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua"
    source = {"inline_string": code.replace("DIR", str(SOURCE))}
    return {"name": name, "typed_config": {"@type": kind, "default_source_code": source}}


def configuration() -> dict[str, Any]:
    read = 'package.path = "DIR/?.lua"\nenvoy_on_request = require("request").on_request'
    router = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
    manager = (
        "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3."
        "HttpConnectionManager"
    )
    http = {
        "@type": manager,
        "stat_prefix": "test",
        "http_filters": [
            lua_filter("request", read),
            lua_filter("answer", ANSWER),
            {"name": "router", "typed_config": {"@type": router}},
        ],
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"]}]},
    }
    address = {"socket_address": {"address": "127.0.0.1", "port_value": 0}}
    return {
        "admin": {"address": address},
        "static_resources": {
            "listeners": [
                {
                    "name": "test",
                    "address": address,
                    "per_connection_buffer_limit_bytes": 33_554_432,
                    "filter_chains": [{"filters": [{"name": "http", "typed_config": http}]}],
                }
            ]
        },
    }


@pytest.fixture(scope="module")
def envoy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of an Envoy that answers what request.lua told."""
    out = tmp_path_factory.mktemp("envoy")
    (out / "envoy.yaml").write_text(json.dumps(configuration()))
    with envoy_of(out) as client:
        client.headers["authorization"] = "Bearer x"
        yield client


def facts_of(answer: Any) -> dict[str, str]:
    assert answer.status_code == 200, answer.text
    return {
        name.removeprefix("fact-"): value
        for name, value in answer.headers.items()
        if name.startswith("fact-")
    }


READ = {"model": "alias", "stream": "false", "max_tokens": "none"}
"""What is told of every body that was read."""

# By endpoint: members of its body, facts that are told beyond those of every body, and in its size.
SENT: dict[str, tuple[dict[str, Any], dict[str, str], str]] = {
    "chat/completions": (
        {"stream": True, "n": 2, "max_tokens": 5, "tools": [], "service_tier": "flex"},
        {"stream": "true", "n": "2", "max_tokens": "5"},
        "max_tokens=5;n=2;tools=true;service_tier=flex",
    ),
    "completions": ({"prompt": ["a", "b"], "n": 3}, {"n": "6"}, "n=6"),
    "responses": (
        {"previous_response_id": "resp_1", "max_output_tokens": 2**53, "prediction": {}},
        {"previous_response_id": "resp_1", "max_tokens": "9007199254740992"},
        "max_tokens=9007199254740992;prediction=true;continued=true",
    ),
    "embeddings": ({"input": ["a"]}, {}, ""),
    "messages": (
        {"max_tokens": 9, "system": [{"cache_control": {}}], "speed": "fast"},
        {"max_tokens": "9", "unbounded": "speed"},
        "max_tokens=9;unbounded=speed;cache_control=true",
    ),
    "messages/count_tokens": ({"messages": []}, {}, ""),
    "audio/speech": ({"input": "né"}, {"characters": "2"}, "characters=2"),
    "images/generations": (
        {"n": 1, "size": "1x1"},
        {"image_variant": "default 1x1"},
        "image_variant=default 1x1",
    ),
    "moderations": (
        {"input": [{"image_url": {"url": "https://x"}}]},
        {"media_parts": "1"},
        "media_parts=1",
    ),
    "rerank": ({"documents": ["a", "b"]}, {"documents": "2"}, "documents=2"),
}


def size_of(*said: str) -> dict[str, str]:
    return {"size": ";".join(fact for fact in said if fact)}


@pytest.mark.parametrize("endpoint", sorted(endpoints.NAMING_A_MODEL - endpoints.MULTIPART))
def test_every_fact_of_a_json_body_is_told_as_text(envoy: httpx.Client, endpoint: str) -> None:
    members, expected, said = SENT[endpoint]
    body = json.dumps({"model": "alias", **members}).encode()
    answer = envoy.post(
        f"/v1/{endpoint}", content=body, headers={"content-type": "application/json"}
    )
    always = {"path": f"/v1/{endpoint}", "endpoint": endpoint, "text_bytes": str(len(body))}
    size = size_of(f"endpoint={endpoint}", f"text_bytes={len(body)}", said)
    assert facts_of(answer) == READ | always | size | expected
    assert answer.content == body.replace(b'"alias"', b'"real"')


@pytest.mark.parametrize("endpoint", sorted(endpoints.MULTIPART))
def test_every_fact_of_a_form_is_told_as_text(envoy: httpx.Client, endpoint: str) -> None:
    name = "image" if endpoint == endpoints.IMAGE_EDITS else "file"
    body = form(text("model", "alias"), file(name, b"\0\1\2"))
    answer = envoy.post(
        f"/v1/{endpoint}?model=b", content=body, headers={"content-type": CONTENT_TYPE}
    )
    always = {"path": f"/v1/{endpoint}", "endpoint": endpoint, "text_bytes": "5"}
    images = {"media_parts": "1", "image_variant": "default default"}
    told = images if name == "image" else {"audio_bytes": "3"}
    said = "media_parts=1;image_variant=default default" if name == "image" else "audio_bytes=3"
    size = size_of(f"endpoint={endpoint}", "text_bytes=5", said)
    assert facts_of(answer) == READ | always | told | size
    assert answer.content == body.replace(b"alias", b"real")


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_a_response_by_its_id_is_told_by_it(envoy: httpx.Client, method: str) -> None:
    answer = envoy.request(method, "/v1/responses/resp_1.a-b?include=x")
    always = {"path": "/v1/responses/resp_1.a-b", "endpoint": "responses/id"}
    size = size_of("endpoint=responses/id")
    assert facts_of(answer) == always | size | {"response_id": "resp_1.a-b"}


def test_a_response_by_its_id_has_no_body(envoy: httpx.Client) -> None:
    told = facts_of(envoy.request("DELETE", "/v1/responses/resp_1", content=b'{"model":"a"}'))
    assert told["error"] == "invalid_body"
    assert "model" not in told


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize("name", sorted(endpoints.UNCHECKED))
def test_an_unchecked_endpoint_tells_its_size_and_its_body_is_not_read(
    envoy: httpx.Client, name: str, method: str
) -> None:
    path = f"/v1/{name}/x"
    body = b"" if method == "GET" else b'{"model":'
    answer = envoy.request(method, f"{path}?model=a", content=body)
    assert facts_of(answer) == {"path": path, "endpoint": name} | size_of(f"endpoint={name}")


@pytest.mark.parametrize(
    ("endpoint", "content_type", "says"),
    [
        ("chat/completions", CONTENT_TYPE, "application/json"),
        ("chat/completions", "application/json, application/json", "application/json"),
        ("chat/completions", "application/jsonl", "application/json"),
        ("messages", "", "application/json"),
        ("audio/transcriptions", "application/json", "multipart/form-data"),
        ("images/edits", "application/json", "multipart/form-data"),
        ("images/edits", "", "multipart/form-data"),
    ],
)
def test_a_body_of_another_type_is_told_what_to_send(
    envoy: httpx.Client, endpoint: str, content_type: str, says: str
) -> None:
    told = facts_of(
        envoy.post(
            f"/v1/{endpoint}", content=b'{"model":"a"}', headers={"content-type": content_type}
        )
    )
    assert told["error"] == "invalid_body"
    assert says in told["error_message"]


def test_what_is_wrong_with_a_body_is_told_and_nothing_is_refused_here(
    envoy: httpx.Client,
) -> None:
    twice = form(text("model", "a"), text("model", "b"))
    for endpoint, body, content_type in (
        ("audio/translations", twice, CONTENT_TYPE),
        ("responses", b'{"model":"a","model":"b"}', "application/json"),
    ):
        answer = envoy.post(f"/v1/{endpoint}", content=body, headers={"content-type": content_type})
        told = facts_of(answer)
        assert (told["error"], told["endpoint"]) == ("ambiguous_body", endpoint)
        assert "model" not in told


def test_a_call_without_a_key_or_with_another_method_is_not_read(envoy: httpx.Client) -> None:
    del envoy.headers["authorization"]
    try:
        stranger = envoy.post("/v1/responses", json={"model": "a"})
    finally:
        envoy.headers["authorization"] = "Bearer x"
    unread = {"path": "/v1/responses", "endpoint": "responses"}
    assert facts_of(stranger) == facts_of(envoy.get("/v1/responses")) == unread
    assert facts_of(envoy.get("/v1/chat"))["endpoint"] == "none"


@pytest.mark.parametrize(
    "prefix", ["tlh_", "tlm_", "sk-", "gsk_", "xai-", "AIza", "AKIA", "ghp_", "gho_", "ghs_"]
)
def test_what_looks_like_a_key_is_hidden_in_a_path(envoy: httpx.Client, prefix: str) -> None:
    long, short = f"/v1/files/{prefix}{'a1' * 8}", f"/v1/files/{prefix}a1"
    hidden = facts_of(envoy.get(long))["path"]
    assert hidden.startswith(f"/v1/files/{prefix}")
    assert "a1" not in hidden
    assert facts_of(envoy.get(short))["path"] == short


@pytest.fixture
def openai(envoy: httpx.Client) -> Iterator[OpenAI]:
    """The SDK, which keeps the bytes that it sends."""
    keeping = DefaultHttpxClient(
        event_hooks={"request": [lambda sent: sent.read()]}, trust_env=False
    )
    with OpenAI(base_url=f"{envoy.base_url}/v1", api_key="x", http_client=keeping) as client:
        yield client


def only_the_model_changed(raw: Any) -> bool:
    sent = raw.http_request.content
    changed = re.sub(rb'(name="model"\r\n\r\n)alias\r\n', rb"\1real\r\n", sent)
    return bool(raw.http_response.content == changed != sent)


def test_a_sound_that_the_openai_sdk_uploads_is_read_and_only_the_model_changes(
    openai: OpenAI,
) -> None:
    sound = b"\xff\xfb\r\n--" * 99
    raw: Any = openai.audio.transcriptions.with_raw_response.create(
        model="alias", file=("é.mp3", sound), prompt="x", timestamp_granularities=["word"]
    )
    told = facts_of(raw.http_response)
    assert (told["endpoint"], told["model"]) == ("audio/transcriptions", "alias")
    assert told["audio_bytes"] == str(len(sound))
    assert told["text_bytes"] == str(len("alias" + "x" + "word"))
    assert only_the_model_changed(raw)


def test_pictures_that_the_openai_sdk_uploads_are_read_and_only_the_model_changes(
    openai: OpenAI,
) -> None:
    picture = ("a.png", b"\x89PNG\r\n")
    raw: Any = openai.images.with_raw_response.edit(
        model="alias", image=[picture, picture], mask=picture, prompt="a cat", n=2, quality="high"
    )
    told = facts_of(raw.http_response)
    assert (told["endpoint"], told["model"]) == ("images/edits", "alias")
    assert (told["media_parts"], told["n"]) == ("3", "2")
    assert told["image_variant"] == "high default"
    assert only_the_model_changed(raw)
