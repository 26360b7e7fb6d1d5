"""Refusals look alike whoever writes them: a service, a Lua script or Envoy itself."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tollhouse import contract
from tollhouse.decisions import ALLOWED, CODES, error_body
from tollhouse.paths import ENVOY_DIR

# What OpenAI's SDKs make their exceptions from.
TYPES = {
    400: {"invalid_request_error"},
    401: {"invalid_request_error"},
    403: {"permission_error"},
    404: {"invalid_request_error"},
    413: {"invalid_request_error"},
    429: {"rate_limit_error", "insufficient_quota"},
    500: {"api_error"},
    502: {"api_error"},
    503: {"api_error"},
    504: {"api_error"},
}


def _mappers() -> list[dict[str, Any]]:
    listener = yaml.safe_load((ENVOY_DIR / "envoy.yaml").read_text())["static_resources"][
        "listeners"
    ][0]
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    # The first two only pass on what the services and Lua have written.
    mappers: list[dict[str, Any]] = manager["local_reply_config"]["mappers"][2:]
    return mappers


MAPPERS = {
    mapper["filter"]["extension_filter"]["typed_config"]["expression"]: mapper
    for mapper in _mappers()
}
LUA = {path.name: path.read_text() for path in sorted((ENVOY_DIR / "lua").glob("*.lua"))}


def test_a_refusal_has_openais_error_shape() -> None:
    assert error_body("model_missing", 'Name a "model".', "model") == (
        '{"error": {"message": "Name a \\"model\\".", "type": "invalid_request_error",'
        ' "param": "model", "code": "model_missing"}}'
    )
    assert json.loads(error_body("internal_error", "Oh."))["error"]["param"] is None


@given(st.text())
def test_a_refusal_is_json_whatever_its_message(message: str) -> None:
    assert json.loads(error_body("invalid_body", message))["error"]["message"] == message


@pytest.mark.parametrize("code", [ALLOWED, "", "no_such_code"])
def test_only_a_code_of_the_table_can_refuse(code: str) -> None:
    with pytest.raises(KeyError):
        error_body(code, "message")


def test_every_code_has_a_type_that_goes_with_its_status() -> None:
    assert {code for code, made in CODES.items() if made.type not in TYPES[made.status]} == set()


def test_running_out_of_money_is_the_only_429_that_clients_are_told_not_to_retry() -> None:
    spent = [code for code, made in CODES.items() if made.type == "insufficient_quota"]
    assert spent == ["budget_exceeded"]


@pytest.mark.parametrize("when", MAPPERS)
def test_what_envoy_refuses_itself_has_the_codes_type_and_header(when: str) -> None:
    mapper = MAPPERS[when]
    body = mapper["body_format_override"]["json_format"]
    error = body["error"]
    if "dialect" in when:
        # Anthropic's type follows the status: tests/e2e/test_messages_errors.py.
        assert set(error) == {"message", "type", "code"}
        assert (body["type"], set(body)) == ("error", {"type", "error", "request_id"})
    else:
        assert set(error) == {"message", "type", "param", "code"}
        assert (error["param"], error["type"]) == (None, CODES[error["code"]].type)
    headers = {one["header"]["key"]: one["header"]["value"] for one in mapper["headers_to_add"]}
    assert headers[contract.DECISION_HEADER] == error["code"]


def test_where_envoy_sets_the_status_it_is_the_codes() -> None:
    statuses = {
        mapper["body_format_override"]["json_format"]["error"]["code"]: mapper["status_code"]
        for mapper in MAPPERS.values()
        if "status_code" in mapper
    }
    assert statuses == {
        code: CODES[code].status
        for code in (
            "policy_unavailable",
            "ledger_unavailable",
            "management_unavailable",
            "provider_error",
        )
    }


def test_every_error_written_in_lua_has_the_codes_type() -> None:
    written = (
        r'"type":"(\w+)","param":null,"code":"(\w+)"',  # as JSON
        r'\btype = "(\w+)", code = "(\w+)"',  # as a table
    )
    lua = "".join(LUA.values())
    errors = [found for form in written for found in re.findall(form, lua)]
    assert sorted(errors) == sorted(
        (CODES[code].type, code) for code in ("internal_error", "provider_error")
    )
    # No code is written in another form alone, where this would not see its type.
    named = re.findall(r'(?:"code":|\bcode = )"(\w+)"', lua)
    assert set(named) == {code for _, code in errors}


# By `refuse(code, message)`, or as what a function returns: nil, the code and the message.
REFUSING = (
    r'\brefuse\((?:\w+, )?"(\w+)",',
    r'\breturn nil, "(\w+)", (?:"|format|multipart)',
)


def test_every_refusal_of_the_body_reader_is_in_the_table() -> None:
    lua = "".join(LUA.values())
    codes = {code for form in REFUSING for code in re.findall(form, lua)}
    assert codes == {"ambiguous_body", "invalid_body", "model_missing"}
    assert {CODES[code].status for code in codes} == {400}
