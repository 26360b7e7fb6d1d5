"""envoy/lua/failure.lua, complaint.lua and redact.lua: a provider's error in the caller's shape,
without what tells whose account it came from."""

import json
import string
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.lua.modules import Modules

FIXTURES = Path(__file__).parents[1] / "fixtures" / "errors" / "errors.yaml"
CASES: list[dict[str, Any]] = yaml.safe_load(FIXTURES.read_text(encoding="utf-8"))
DIALECTS = ("openai", "anthropic")
ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "invalid_request_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    502: "api_error",
    503: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def caller(dialect: str = "openai", **more: Any) -> dict[str, Any]:
    return {"dialect": dialect, "request_id": "our-id", "alias": "chat", "models": [], **more}


def require_shape(text: bytes, dialect: str) -> dict[str, Any]:
    """The `error` of a body that has the dialect's shape."""
    body: dict[str, Any] = json.loads(text)
    error: dict[str, Any] = body["error"]
    if dialect == "openai":
        assert body.keys() == {"error"}
        assert error.keys() == {"message", "type", "param", "code"}
    else:
        assert body.keys() == {"type", "error", "request_id"}
        assert (body["type"], body["request_id"]) == ("error", "our-id")
        assert {"type", "message"} <= error.keys() <= {"type", "message", "param", "code"}
        assert error["type"] in ANTHROPIC_TYPES.values()
    assert isinstance(error["message"], str)
    assert error["message"]
    assert isinstance(error["type"], str)
    assert all(isinstance(error.get(name), str | None) for name in ("param", "code"))
    return error


def translate(
    modules: Modules, status: int, body: bytes | str, asker: dict[str, Any]
) -> tuple[int, dict[str, Any]]:
    shown, text = modules.call("failure", "translate", str(status), body, asker)
    return int(shown), require_shape(text, asker["dialect"])


def said(modules: Modules, message: str, **more: Any) -> str:
    """The message of an error with that message."""
    body = json.dumps({"error": {"message": message}})
    told: str = translate(modules, 400, body, caller(**more))[1]["message"]
    return told


# Providers' errors


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_an_error_of_every_provider_is_read_and_has_openais_shape(
    modules: Modules, case: dict[str, Any]
) -> None:
    asker = caller(models=[case["model"]])
    status, error = translate(modules, case["status"], case["body"], asker)
    assert (status, error) == (case["status"], {"param": None, **case["told"]})


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_an_error_of_every_provider_has_anthropics_shape_and_type(
    modules: Modules, case: dict[str, Any]
) -> None:
    asker = caller("anthropic", models=[case["model"]])
    status, error = translate(modules, case["status"], case["body"], asker)
    told = {name: text for name, text in case["told"].items() if text is not None}
    assert (status, error) == (case["status"], {**told, "type": case["anthropic"]})


def test_every_fixture_names_its_source() -> None:
    assert all(case["source"].startswith("https://") for case in CASES)
    assert len({case["name"] for case in CASES}) == len(CASES)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html><head><title>502 Bad Gateway</title></head><center>cloudflare</center></html>",
        b"upstream connect error",
        b'{"error":{"message":"Rate limit reached for gpt-4o in organization org-Ab',
        b'{"error":{"message":"half a surrogate \\ud800"}}',
        b'{"error":{"message":"\xff"}}',
        b'{"error":{"message":""}}',
        b'{"error":{}}',
        b'{"error":null}',
        b'{"detail":[]}',
        b'{"detail":[{"loc":["body"]}]}',
        b"[]",
        b"null",
        b'"error"',
        b'{"error":{"message":"' + b"x" * 10_000_000 + b'"}}',
        b"[" * 100_000,
    ],
    ids=lambda body: body[:24].decode("latin-1"),
)
def test_what_says_nothing_that_can_be_read_becomes_an_error_of_ours(
    modules: Modules, body: bytes, dialect: str
) -> None:
    status, error = translate(modules, 500, body, caller(dialect))
    assert (status, error["type"], error["code"]) == (500, "api_error", "provider_error")
    assert error["message"].startswith("The provider failed with status 500")


@pytest.mark.parametrize("status", [404, 429, 529])
def test_the_type_of_what_cannot_be_read_follows_its_status(modules: Modules, status: int) -> None:
    """By its type callers tell what they may try again."""
    _, error = translate(modules, status, b"\x1f\x8b\x08", caller("anthropic"))
    assert (error["type"], error["code"]) == (ANTHROPIC_TYPES[status], "provider_error")
    _, error = translate(modules, status, b"\x1f\x8b\x08", caller())
    usual = {404: "invalid_request_error", 429: "rate_limit_error", 529: "api_error"}
    assert error["type"] == usual[status]


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_credential_is_the_gateways_own_fault(
    modules: Modules, status: int, dialect: str
) -> None:
    body = '{"error":{"message":"Incorrect API key provided: sk-pr***yz","code":"invalid_api_key"}}'
    shown, error = translate(modules, status, body, caller(dialect))
    assert (shown, error["type"], error["code"]) == (502, "api_error", "provider_error")
    assert error["message"].startswith("The provider refused the gateway's own credential")


def test_geminis_400_for_an_unknown_key_is_the_gateways_own_fault_too(modules: Modules) -> None:
    body = (
        '[{"error":{"code":400,"message":"API key not valid.","status":"INVALID_ARGUMENT",'
        '"details":[{"reason":"API_KEY_INVALID"}]}}]'
    )
    assert translate(modules, 400, body, caller())[0] == 502


@pytest.mark.parametrize(("status", "kind"), ANTHROPIC_TYPES.items())
def test_anthropics_type_follows_the_status_of_a_refusal_of_ours(
    modules: Modules, status: int, kind: str
) -> None:
    ours = '{"error":{"message":"Ask a@b.test for key sk-1234.","type":"x","param":"model","code":"key_blocked"}}'  # noqa: E501
    text = modules.call("failure", "refusal", str(status), ours, caller("anthropic"))
    assert require_shape(text, "anthropic") == {
        "type": kind,
        "message": "Ask a@b.test for key sk-1234.",
        "code": "key_blocked",
        "param": "model",
    }


def test_what_is_no_refusal_is_left_alone(modules: Modules) -> None:
    for body in ("", "<html>", "{}", '{"data":[]}'):
        assert modules.call("failure", "refusal", "404", body, caller("anthropic")) is None


@pytest.mark.parametrize("value", [5, True, None, [], {}, "", "x" * 101, "key sk-abcdef123456"])
def test_a_type_param_or_code_that_is_no_short_text_is_not_told(
    modules: Modules, value: object
) -> None:
    error = {"message": "No.", "type": value, "param": value, "code": value}
    shown = translate(modules, 400, json.dumps({"error": error}), caller())[1]
    assert (shown["type"], shown["param"], shown["code"]) == ("invalid_request_error", None, None)


# What is taken out


@pytest.mark.parametrize(
    "kept",
    [
        "Invalid value: 'high'. Supported values are: 'low', 'medium', and 'auto-2'.",
        "messages.1.content.0.image_url: Input should be a valid dictionary",
        "Expected a value <= 9223372036854775807, but got 99999999999999999999 instead.",
        "No tool output found for function call call_Ab12Cd34Ef56Gh78Ij90Kl12.",
        "`tool_use` ids were found without `tool_result` blocks: toolu_01A09q90qw90lq917835lq9",
        "Previous response with id 'resp_0a1b2c3d4e5f60718293a4b5c6d7e8f9' not found.",
        "Please try again in 6m0s; org-level limits, user_content and request-id are words.",
        "max_tokens: 8192 > 4096, which is the maximum. The key must be a string.",
        "Überladen — s'il vous plaît réessayez 请重试 🙂",
        "Use the project default; a task-force of 3 is at risk-1.",
        'Unknown name "prompt_cache_key" at response_format.json_schema.name',
        'multi\nline\ttext with \\ and "quotes" and /v1/chat/completions',
    ],
)
def test_words_numbers_paths_and_the_callers_own_ids_stay(modules: Modules, kept: str) -> None:
    assert said(modules, kept) == kept


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("key ab***yz, sk-ab...yz", "key [key], [key]"),
        ("at acme.openai.azure.com.Next: 10.0.0.7", "at [host]: [host]"),
        ("token aB3+dE5/fG7+hJ9/kL1+mN3/pQ5= used", "token [key] used"),
        ("Bearer abcdef12 sent", "Bearer [key] sent"),
        ("request ID: 7f-9, account id 12", "request ID: [id], account id [id]"),
        ("project_number:98765 in 1234-5678-9012", "project_number:[id] in [id]"),
    ],
)
def test_what_tells_the_account_is_a_word_in_brackets(
    modules: Modules, message: str, shown: str
) -> None:
    assert said(modules, message) == shown


@pytest.mark.parametrize(
    ("model", "message", "shown"),
    [
        ("gpt-4o", "The model `gpt-4o` is busy", "The model `chat` is busy"),
        ("gpt-4o", "GPT-4o-2024-08-06 is busy.", "chat is busy."),
        ("gpt-4o", "not gpt-4omni, gpt-4o", "not gpt-4omni, chat"),
        ("gemini-2.0-flash", "models/gemini-2.0-flash: no", "chat: no"),
        ("acme/large-2", "large-2 of acme/large-2", "chat of chat"),
        ("acme/large", "too large for acme/large", "too large for chat"),
        ("m.1+x", "no m.1+x here", "no chat here"),
        ("o1", "o1-preview, pro1, o1", "chat, pro1, chat"),
        ("gpt-4o", "gpt-4o/gpt-4o gpt-4o", "chat chat"),
    ],
)
def test_the_providers_model_is_called_by_its_alias(
    modules: Modules, model: str, message: str, shown: str
) -> None:
    assert said(modules, message, models=[model]) == shown


def test_an_alias_is_shown_as_it_is_whatever_it_looks_like(modules: Modules) -> None:
    for alias in ("sk-abcdef1234567890abcd", "%1", "100%", "a\\b"):
        assert said(modules, "no gpt-4o", models=["gpt-4o"], alias=alias) == f"no {alias}"


def test_of_several_models_of_a_call_every_one_is_hidden(modules: Modules) -> None:
    models = ["claude-sonnet-4", "gpt-4o"]
    assert said(modules, "claude-sonnet-4 or gpt-4o", models=models) == "chat or chat"


def test_a_long_message_is_cut_at_a_word(modules: Modules) -> None:
    shown = said(modules, "word " * 820 + "sk-abcdefghij" * 3)
    assert shown.startswith("word word")
    assert len(shown) <= 4100
    assert "sk-" not in shown
    assert said(modules, "x" * 5000) == " …"


TOKEN = st.text(string.ascii_letters + string.digits, min_size=20, max_size=48)
LETTERS = st.text(string.ascii_letters + string.digits, min_size=6, max_size=40)
HEX = st.text("0123456789abcdef", min_size=32, max_size=32)
NAME = st.text(string.ascii_lowercase + string.digits, min_size=3, max_size=12)


def _uuid(text: str) -> str:
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:32]))


SECRETS = st.one_of(
    st.builds("sk-{}".format, LETTERS),
    st.builds("sk-proj-{}_{}".format, TOKEN, TOKEN),
    st.builds("sk-ant-api03-{}".format, TOKEN),
    st.builds("{}-1{}".format, st.sampled_from(["gsk_x", "xai-x", "hf_x", "r8_x"]), TOKEN),
    st.builds("AIza{}".format, TOKEN),
    st.builds("{}***{}".format, LETTERS, LETTERS),
    TOKEN.filter(lambda text: not text.isalpha() and not text.isdigit()),
    st.builds("org-{}".format, LETTERS),
    st.builds("proj_{}".format, LETTERS),
    st.builds("acct_{}".format, LETTERS),
    st.builds("req_{}".format, TOKEN),
    st.builds(_uuid, HEX),
    st.builds("arn:aws:iam::{}:user/{}".format, st.from_regex(r"[0-9]{12}", fullmatch=True), NAME),
    st.from_regex(r"[1-9][0-9]{11}", fullmatch=True),
    st.builds("{}.openai.azure.com".format, NAME),
    st.builds("https://{}.example.test/{}?key={}".format, NAME, NAME, TOKEN),
    st.builds("{}@{}.example.com".format, NAME, NAME),
    st.just("acme/private-model-7"),
)
WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
BEFORE = st.sampled_from([" ", ": ", "'", '"', "`", "(", "key=", "\n", "„", "["])
AFTER = st.sampled_from([" ", ".", ", ", "'", '"', "`", ")", "\n", "“", "]", ";"])


@st.composite
def bodies(draw: st.DrawFn, secret: str) -> str:
    """An error that holds the secret, in one of the shapes of providers."""
    text = draw(WORDS) + draw(BEFORE) + secret + draw(AFTER) + draw(WORDS)
    inner = {"message": text, "type": text, "param": secret, "code": secret}
    return json.dumps(
        draw(
            st.sampled_from(
                [
                    {"error": inner},
                    [{"error": {**inner, "status": secret}}],
                    {"type": "error", "error": inner, "request_id": secret},
                    {"object": "error", **inner},
                    {"error": text},
                    {"message": text},
                    {"detail": [{"loc": ["body", "x"], "msg": text, "input": secret}]},
                    {"message": {"detail": [{"msg": text}]}},
                    {"error": {"message": "x", "metadata": {"raw": text, "provider_name": "P"}}},
                    {"error": {"message": json.dumps({"error": inner})}},
                    {"statusCode": 500, "message": text, secret: secret},
                ]
            )
        ),
        ensure_ascii=draw(st.booleans()),
    )


@given(data=st.data(), secret=SECRETS, dialect=st.sampled_from(DIALECTS))
def test_no_secret_comes_through_and_the_shape_is_always_right(
    modules: Modules, data: st.DataObject, secret: str, dialect: str
) -> None:
    body = data.draw(bodies(secret))
    status = data.draw(st.sampled_from([400, 404, 429, 500, 529]))
    asker = caller(dialect, models=["acme/private-model-7"])
    text = modules.call("failure", "translate", str(status), body, asker)[1]
    assert secret not in json.dumps(require_shape(text, dialect), ensure_ascii=False)
    event = modules.call("failure", "event", body, asker)
    if event is not None:
        assert secret not in json.dumps(require_shape(event, dialect), ensure_ascii=False)


@given(body=st.binary(max_size=200) | st.text('{}[]":,\\error message', max_size=60))
def test_whatever_comes_the_answer_is_json_in_shape(modules: Modules, body: bytes | str) -> None:
    for dialect in DIALECTS:
        translate(modules, 500, body, caller(dialect))
        event = modules.call("failure", "event", body, caller(dialect))
        assert event is None or require_shape(event, dialect)


# Errors inside of streams


@pytest.mark.parametrize(
    "data",
    [
        '{"error":{"message":"gpt-4o of org-abcdef123 is down","type":"server_error","code":502}}',
        '{"id":"gen-1","provider":"Venice","model":"gpt-4o","error":{"message":"gpt-4o of '
        'org-abcdef123 is down","type":"server_error"},"choices":[{"finish_reason":"error"}]}',
        '{"error":"gpt-4o of org-abcdef123 is down","type":"server_error"}',
        '[{"error":{"message":"gpt-4o of org-abcdef123 is down","type":"server_error"}}]',
    ],
)
def test_an_error_in_a_stream_is_put_into_the_same_shape(modules: Modules, data: str) -> None:
    shown = modules.call("failure", "event", data, caller(models=["gpt-4o"]))
    error = require_shape(shown, "openai")
    assert error["message"] == "chat of [id] is down"
    assert error["type"] == "server_error"


def test_anthropics_error_event_keeps_its_shape(modules: Modules) -> None:
    data = '{"type":"error","error":{"type":"overloaded_error","message":"Overloaded: req_012345"}}'
    shown = modules.call("failure", "event", data, caller("anthropic"))
    assert require_shape(shown, "anthropic") == {
        "type": "overloaded_error",
        "message": "Overloaded: [id]",
    }


def test_an_error_event_without_its_inner_object_has_anthropics_shape_all_the_same(
    modules: Modules,
) -> None:
    data = '{"type":"error","message":"Overloaded"}'
    shown = modules.call("failure", "event", data, caller("anthropic"))
    assert require_shape(shown, "anthropic")["message"] == "Overloaded"


def test_errors_of_the_responses_endpoint_keep_its_own_shapes(modules: Modules) -> None:
    error = '{"type":"error","code":"ERR","message":"For org-abcdef123","param":null,"sequence_number":7}'  # noqa: E501
    assert json.loads(modules.call("failure", "event", error, caller())) == {
        "type": "error",
        "code": "ERR",
        "message": "For [id]",
        "param": None,
    }
    failed = {
        "type": "response.failed",
        "response": {
            "id": "resp_1",
            "error": {"code": "server_error", "message": "For org-abcdef123"},
            "usage": {"input_tokens": 1},
        },
    }
    shown = json.loads(modules.call("failure", "event", json.dumps(failed), caller()))
    failed["response"]["error"]["message"] = "For [id]"  # type: ignore[index]
    assert shown == failed


def test_an_error_event_that_cannot_be_read_is_an_error_of_ours(modules: Modules) -> None:
    for data in ('{"error":{"message":"cut o', '{"error":{}}', '{"error":{"code":5}}'):
        error = require_shape(modules.call("failure", "event", data, caller()), "openai")
        assert error["code"] == "provider_error"


@pytest.mark.parametrize(
    "data",
    [
        '{"choices":[{"delta":{"content":"an \\"error\\": {}"}}]}',
        '{"choices":[],"error":null}',
        '{"type":"response.created","response":{"id":"resp_1","error":null}}',
        '{"choices":[{"delta":{"content":"error"}}]}',
        "[DONE]",
        "",
    ],
)
def test_an_event_that_is_no_error_is_left_alone(modules: Modules, data: str) -> None:
    assert modules.call("failure", "event", data, caller()) is None
