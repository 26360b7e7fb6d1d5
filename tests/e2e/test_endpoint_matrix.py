"""Endpoint x (JSON, SSE) x (allowed, denied, over limit, over budget, aborted): a test for each
cell, through the real Envoy. The caller's dialect is the endpoint's own."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.support import matrix
from tests.support.gateway import Gateway, Received, test_key
from tests.support.matrix import BY_ID, Cell, cells_of, marked
from tests.support.matrix_calls import Call, amounts, cost
from tests.support.matrix_client import (
    Request,
    events_of,
    leave_mid_stream,
    leave_unanswered,
    line_of,
    named_models,
    received_models,
    request,
    send,
    spent,
)
from tollhouse.money import COUNTS

ANTHROPICS = {403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}


@pytest.fixture
def gateway(matrix_gateway: Gateway) -> Gateway:
    matrix_gateway.forget()
    return matrix_gateway


def asked_of(gateway: Gateway, cell: Cell, key_name: str, simulate: str = "") -> Request:
    """The cell's call; a stored response is made first, by its owner."""
    call = cell.call
    simulate = ",".join(filter(None, (call.simulate, simulate)))
    headers = {"x-simulate": simulate} if simulate else {}
    if cell.row not in BY_ID:
        return request(call, key_name, **headers)
    made = send(gateway, request(matrix.BY_ALIAS["responses-json"], key_name))
    assert made.status_code == 200, made.text
    line_of(gateway, made.request.headers["user-agent"])
    gateway.forget()
    return request(call, key_name, f"/v1/responses/{made.json()['id']}", **headers)


def refusal(answer: httpx.Response, call: Call, status: int, code: str) -> str:
    """What holds for every refusal in the caller's shape; returns its message."""
    assert answer.status_code == status, answer.text
    assert answer.headers["x-tollhouse-decision"] == code
    assert answer.headers["content-type"] == "application/json"
    assert int(answer.headers["content-length"]) == len(answer.content)
    body = answer.json()
    error: dict[str, Any] = body["error"]
    assert error["code"] == code
    if call.dialect == "anthropic":
        assert body.keys() == {"type", "error", "request_id"}
        assert (body["type"], error["type"]) == ("error", ANTHROPICS[status])
    else:
        assert body.keys() == {"error"}
        assert error.keys() == {"message", "type", "param", "code"}
    return str(error["message"])


def require_not_sent(gateway: Gateway, answer: httpx.Response, code: str) -> dict[str, Any]:
    """Nothing reached the provider, and nothing is reserved; returns the log line."""
    line = line_of(gateway, answer.request.headers["user-agent"])
    assert gateway.received() == []
    assert line["decision"] == code
    assert "usage" not in line
    assert "reservation_id" not in line.get("reservation", {})
    return line


def require_own_model(call: Call, received: Received) -> None:
    """The provider was asked for its model, or for what was sent."""
    if not call.model:
        assert received.body == b""
    elif call.row == "files":
        assert received.body == call.body
    else:
        assert received_models(call, received) == [call.model]


def require_own_credential(gateway: Gateway, received: Received, key_name: str) -> None:
    """The provider got its own credential, and nothing of the client's."""
    assert received.provider_key_ok
    assert gateway.leaks() == []
    sent = [received.body, *(value.encode() for _, value in received.headers)]
    assert not any(test_key(key_name).encode() in each for each in sent)


# Allowed


def shown_models(cell: Cell, answer: httpx.Response) -> set[str]:
    if answer.headers["content-type"].startswith("application/json"):
        return set(named_models(answer.json()))
    if cell.mode == "sse":
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert len(events_of(answer.content)) > 1
        return set(named_models(events_of(answer.content)))
    return set()


def total_of(gateway: Gateway, call: Call) -> int:
    """Nano-dollars that the metrics say its alias has cost."""
    name = "tollhouse_cost_usd_total"
    return round(gateway.metric("ratelimit_service", name, alias=call.called) * 1e9)


def require_billed(gateway: Gateway, cell: Cell, line: dict[str, Any], charged: int) -> None:
    """What was counted is the provider's bill, and the cost is the formula of the stated price."""
    call, usage = cell.call, line["usage"]
    counts = {name: usage.get(name, 0) for name in COUNTS}
    if call.is_billed and call.price:
        ((_, billed),) = gateway.bill()["by_provider"][call.dialect].items()
        differing = {name for name in COUNTS if counts[name] != billed[name]}
        assert differing == set(call.unreported)
        counts = {name: billed[name] for name in COUNTS}
    assert charged == cost(call.price, amounts(counts), call.variant)
    assert charged <= call.worst
    assert (charged > 0) is bool(call.price)


@pytest.mark.parametrize("cell", cells_of("allowed"), ids=str)
def test_what_is_allowed_is_answered_under_the_alias_and_charged_the_bill(
    gateway: Gateway, cell: Cell
) -> None:
    with marked(cell):
        call, asked = cell.call, asked_of(gateway, cell, "app")
        before, total = spent(gateway, "app")[0], total_of(gateway, call)
        answer = send(gateway, asked)
        assert answer.status_code == 200, answer.text
        assert answer.headers["x-tollhouse-decision"] == "allowed"
        line = line_of(gateway, asked.agent)
        after, held = spent(gateway, "app")

        (received,) = gateway.received()
        require_own_credential(gateway, received, "app")
        # A stored response's id is shown as RAW.TAG.MAC; the provider gets its own.
        assert received.path == f"/{call.dialect}{asked.path.split('.')[0]}"
        require_own_model(call, received)
        assert shown_models(cell, answer) <= {call.called}
        assert (line["decision"], line["alias"]) == ("allowed", call.called)
        assert (line["provider"], line["usage"]["usage_source"]) == (call.dialect, call.counted)
        assert held == 0
        require_billed(gateway, cell, line, after - before)
        assert total_of(gateway, call) - total == after - before


# Denied


@pytest.mark.parametrize("cell", cells_of("denied"), ids=str)
def test_a_key_without_the_alias_is_denied_in_its_dialect_and_nothing_is_sent(
    gateway: Gateway, cell: Cell
) -> None:
    with marked(cell):
        asked = request(cell.call, stranger_to(cell))
        status, code = 403, "model_not_allowed"
        if cell.row in ("files", "batches"):
            code = "endpoint_not_allowed"
        elif cell.row in BY_ID:
            # Of what another key has stored not even its existence is told.
            made = asked_of(gateway, cell, "app")
            asked = request(cell.call, stranger_to(cell), made.path)
            status, code = 404, "response_not_found"
        answer = send(gateway, asked)
        message = refusal(answer, cell.call, status, code)
        assert len(message) > 20
        line = require_not_sent(gateway, answer, code)
        assert "reservation" not in line
        assert spent(gateway, stranger_to(cell)) == (0, 0)


def stranger_to(cell: Cell) -> str:
    """A key that may not call the cell's alias."""
    return "stranger2" if cell.row == "embeddings" else "stranger"


# Over limit


@pytest.mark.parametrize("cell", cells_of("over-limit"), ids=str)
def test_a_key_that_has_used_its_minute_is_told_when_to_come_back(
    gateway: Gateway, cell: Cell
) -> None:
    with marked(cell):
        key_name = matrix.limited_key(cell)
        asked = asked_of(gateway, cell, key_name)
        first = send(gateway, asked)
        assert first.status_code == 200, first.text
        line_of(gateway, asked.agent)
        paid, gateway_received = spent(gateway, key_name), len(gateway.received())
        assert gateway_received == 1

        gateway.forget()
        answer = send(gateway, request(cell.call, key_name, asked.path))
        message = refusal(answer, cell.call, 429, "rate_limit_requests")
        assert key_name in message
        # A window is 62 buckets of one second (docs/ledger.md).
        assert 0 < int(answer.headers["retry-after"]) <= 62
        line = require_not_sent(gateway, answer, "rate_limit_requests")
        assert line["reservation"]["refused_at"] == f"key {key_name}"
        assert spent(gateway, key_name) == paid


# Over budget


@pytest.mark.parametrize("cell", cells_of("over-budget"), ids=str)
def test_a_budget_takes_the_call_whose_worst_case_it_holds_and_no_other(
    gateway: Gateway, cell: Cell
) -> None:
    with marked(cell):
        call, key_name = cell.call, matrix.budget_key(cell)
        asked = asked_of(gateway, cell, key_name)
        first = send(gateway, asked)
        assert first.status_code == 200, first.text
        line = line_of(gateway, asked.agent)
        assert int(line["reservation"]["cost_nanousd"]) == call.worst
        paid = spent(gateway, key_name)
        assert 0 < paid[0] <= call.worst
        assert paid[1] == 0

        gateway.forget()
        answer = send(gateway, request(call, key_name))
        refusal(answer, call, 429, "budget_exceeded")
        assert answer.headers["x-should-retry"] == "false"
        line = require_not_sent(gateway, answer, "budget_exceeded")
        assert int(line["reservation"]["limit"]) == call.worst
        assert spent(gateway, key_name) == paid


# Aborted


@pytest.mark.parametrize("cell", cells_of("aborted"), ids=str)
def test_a_call_whose_client_leaves_is_settled_within_what_was_reserved(
    gateway: Gateway, cell: Cell
) -> None:
    with marked(cell):
        call, streams = cell.call, cell.mode == "sse"
        stall = "stall=mid_stream" if streams else "stall=before_headers"
        asked = asked_of(gateway, cell, "app", stall)
        before, _ = spent(gateway, "app")
        (leave_mid_stream if streams else leave_unanswered)(gateway, asked)
        line = line_of(gateway, asked.agent)
        after, held = spent(gateway, "app")

        usage = line["usage"]
        assert "DC" in line["flags"].split(",")
        assert not usage.get("complete")
        assert usage["usage_source"] == LEFT.get(call.counted, "estimated")
        assert held == 0
        counts = {name: usage.get(name, 0) for name in COUNTS}
        assert after - before == cost(call.price, amounts(counts), call.variant)
        assert after - before <= int(line["reservation"].get("cost_nanousd", 0)) <= call.worst
        assert (after > before) is bool(call.price)
        gateway.require_nothing_held()


# What is left of a count that nobody makes.
LEFT = {"none": "none", "rule": "rule"}


# The table itself


def test_every_cell_has_a_test_or_a_reason() -> None:
    mine = [each for name, each in globals().items() if name.startswith("test_")]
    marks = [mark for each in mine for mark in getattr(each, "pytestmark", [])]
    parametrized = [cell for mark in marks for cell in mark.args[1]]
    assert len(parametrized) == len(set(parametrized))
    assert set(parametrized) | matrix.REASONS.keys() == set(matrix.ALL)
    assert not set(parametrized) & matrix.REASONS.keys()
    assert all(len(reason) > 20 for reason in matrix.REASONS.values())
