"""On /v1/messages whatever goes wrong has Anthropic's shape, to the last byte of its length."""

from __future__ import annotations

import anthropic
import httpx
import pytest

from tests.support import matrix
from tests.support.gateway import Gateway, test_key
from tests.support.matrix import BY_ALIAS
from tests.support.matrix_client import events_of, line_of, request, send
from tollhouse.money import COUNTS

TYPES = {
    400: "invalid_request_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    502: "api_error",
    503: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}
STREAMS = pytest.mark.parametrize("mode", ["json", "sse"])


@pytest.fixture
def gateway(matrix_gateway: Gateway) -> Gateway:
    matrix_gateway.forget()
    return matrix_gateway


def fault(gateway: Gateway, mode: str, directive: str) -> httpx.Response:
    return send(gateway, request(BY_ALIAS[f"messages-{mode}"], "app", **{"x-simulate": directive}))


def require_shape(answer: httpx.Response, status: int) -> str:
    """Returns the message."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert int(answer.headers["content-length"]) == len(answer.content)
    body = answer.json()
    assert body.keys() == {"type", "error", "request_id"}
    assert (body["type"], body["error"]["type"]) == ("error", TYPES[status])
    assert body["error"].keys() <= {"type", "message", "code", "param"}
    assert body["request_id"] == answer.headers["x-request-id"] == answer.headers["request-id"]
    message: str = body["error"]["message"]
    assert message
    assert "claude-sonnet" not in answer.text
    return message


@STREAMS
@pytest.mark.parametrize("status", [400, 404, 413, 429, 500, 503, 504, 529])
def test_an_error_of_the_provider_keeps_its_status_and_costs_nothing(
    gateway: Gateway, mode: str, status: int
) -> None:
    answer = fault(gateway, mode, f"status={status},retry_after=7")
    require_shape(answer, status)
    assert answer.headers["x-tollhouse-decision"] == "provider_error"
    assert answer.headers["retry-after"] == "7"
    line = line_of(gateway, answer.request.headers["user-agent"])
    assert line["usage"]["usage_source"] == "none"
    assert not any(line["usage"].get(name) for name in COUNTS)


@STREAMS
@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_of_our_credential_is_502_and_says_nothing_of_it(
    gateway: Gateway, mode: str, status: int
) -> None:
    message = require_shape(fault(gateway, mode, f"status={status}"), 502)
    assert "gateway" in message


@STREAMS
@pytest.mark.parametrize("status", [502, 503])
def test_the_page_of_a_cdn_becomes_an_error_in_shape(
    gateway: Gateway, mode: str, status: int
) -> None:
    require_shape(fault(gateway, mode, f"html_error={status}"), status)


@STREAMS
@pytest.mark.parametrize("status", [429, 500, 529])
def test_an_error_that_cannot_be_read_keeps_its_status_and_has_its_type(
    gateway: Gateway, mode: str, status: int
) -> None:
    require_shape(fault(gateway, mode, f"status={status},gzip"), status)


@STREAMS
@pytest.mark.parametrize("status", [429, 500])
def test_a_provider_that_breaks_off_in_an_error_is_502_in_shape(
    gateway: Gateway, mode: str, status: int
) -> None:
    answer = fault(gateway, mode, f"status={status},abort_after=0")
    assert "broke off" in require_shape(answer, 502)
    assert answer.headers["x-tollhouse-decision"] == "provider_error"


@STREAMS
@pytest.mark.parametrize("directive", ["stall=before_headers", "status=500,stall=mid_stream"])
def test_a_provider_that_falls_silent_is_504(gateway: Gateway, mode: str, directive: str) -> None:
    call = BY_ALIAS[f"messages-{mode}"]
    hasty = call.body.replace(call.alias.encode(), b"messages-hasty")
    answer = gateway.post("/v1/messages", hasty, "app", {"x-simulate": directive})
    require_shape(answer, 504)
    assert answer.headers["x-tollhouse-decision"] == "provider_timeout"
    source = gateway.settled(answer.headers["x-request-id"])["usage"]["usage_source"]
    assert source == ("none" if "status" in directive else "estimated")


def test_a_stream_that_fails_half_way_ends_with_an_error_event(gateway: Gateway) -> None:
    answer = fault(gateway, "sse", "error_after=3")
    assert answer.status_code == 200
    last = events_of(answer.content)[-1]
    assert (last["type"], last["error"]["type"]) == ("error", "overloaded_error")


def test_anthropics_sdk_raises_its_own_class_for_a_limit_and_for_a_budget(
    gateway: Gateway,
) -> None:
    cells = [
        cell
        for cell in (*matrix.cells_of("over-limit"), *matrix.cells_of("over-budget"))
        if (cell.row, cell.mode) == ("messages", "json")
    ]
    for cell in cells:
        budget = cell.situation == "over-budget"
        name = matrix.budget_key(cell) if budget else matrix.limited_key(cell)
        send(gateway, request(cell.call, name))
        client = anthropic.Anthropic(
            api_key=test_key(name), base_url=gateway.endpoint, max_retries=0
        )
        with client, pytest.raises(anthropic.RateLimitError) as raised:
            client.messages.create(
                model="messages-json",
                max_tokens=50,
                messages=[{"role": "user", "content": "Say hello" * 200}],
            )
        assert raised.value.request_id == raised.value.response.headers["x-request-id"]
