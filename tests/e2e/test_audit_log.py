"""The access log: one JSON line a request, from which all else can be computed again."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.support import e2e_policy
from tests.support.gateway import Gateway, running, test_key, wait_for
from tollhouse.money import Price, Usage
from tollhouse.policy.compiler import load_snapshot

CHAT = "/v1/chat/completions"
STREAM = {"model": "chat", "stream": True, "messages": [{"role": "user", "content": "x"}]}

# Of every request that reached a provider: the field's type.
FIELDS: dict[str, type | tuple[type, ...]] = {
    "time": str,
    "request_id": str,
    "client_address": str,
    "method": str,
    "path": str,
    "protocol": str,
    "user_agent": str,
    "key_id": str,
    "team": str,
    "project": str,
    "env": str,
    "alias": str,
    "provider": str,
    "provider_model": str,
    "policy_version": str,
    "decision": str,
    "reason": str,
    "status": int,
    "status_details": str,
    "flags": str,
    "usage": dict,
    "price": dict,
    "reservation": dict,
    "bytes_received": int,
    "bytes_sent": int,
    "duration_ms": int,
    "provider_first_byte_ms": int,
    "attempts": int,
    "tried": list,
}


def line_of(gateway: Gateway, answer: httpx.Response) -> dict[str, Any]:
    return gateway.log_line(answer.headers["x-request-id"])


def simulated(directives: str) -> dict[str, str]:
    return {"x-simulate": directives}


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {test_key(key)}"}


def cost(line: Mapping[str, Any]) -> int:
    """Nano-dollars, from the line alone."""
    usage = line["usage"]
    counts = (usage.get(f"{name}_tokens", 0) for name in ("input", "output", "cached_input"))
    return Price.from_labels(line["price"]).cost(Usage(*map(int, counts)))


def test_a_line_says_who_called_what_where_how_and_for_how_much(gateway: Gateway) -> None:
    line = line_of(gateway, gateway.chat("app", simulated("cached_tokens=4")))
    for name, kind in FIELDS.items():
        assert isinstance(line[name], kind), name
    policy = load_snapshot(gateway.run_dir.parent / "policies")
    expected = {
        "client_address": "127.0.0.1",
        "method": "POST",
        "path": CHAT,
        "key_id": "app",
        "team": "web",
        "project": "site",
        "env": "prod",
        "alias": "chat",
        "provider": "openai",
        "provider_model": "gpt-4o-2024-11-20",
        "policy_version": policy.version,
        "decision": "allowed",
        "reason": "allowed",
        "status": 200,
        "attempts": 1,
    }
    assert expected.items() <= line.items()
    reported = {"input_tokens": 10, "output_tokens": 12, "cached_input_tokens": 4}
    assert {**reported, "usage_source": "reported"}.items() <= line["usage"].items()
    assert line["price"] == {
        "input_per_million": "2.5",
        "output_per_million": "10",
        "cached_input_per_million": "1.25",
    }
    assert re.fullmatch("[0-9a-f]{32}", line["reservation"]["reservation_id"])
    [attempt] = line["tried"]
    assert attempt.keys() == {"provider", "deployment", "at", "status"}
    assert (attempt["provider"], attempt["status"]) == ("openai", "200")
    assert re.fullmatch("[0-9a-f]{10}", attempt["deployment"])


def test_nothing_else_of_the_grant_or_the_body_is_in_a_line(gateway: Gateway) -> None:
    line = line_of(gateway, gateway.chat("app"))
    assert set(line) <= {*FIELDS, "stream", "request_bytes", "max_tokens"}


def test_every_request_has_one_line_refused_ones_included(gateway: Gateway) -> None:
    answers = [
        gateway.chat("app"),
        gateway.chat("app", model="secret-model"),
        gateway.chat("nobody"),
        gateway.chat("broke"),
        gateway.chat("app", simulated("status=500")),
        gateway.http.get("/v1/models", headers=bearer("app")),
        gateway.http.get("/nowhere"),
    ]
    ids = [answer.headers["x-request-id"] for answer in answers]
    for request_id in ids:
        gateway.log_line(request_id)
    logged = [line.get("request_id") for line in gateway.log_lines()]
    assert [logged.count(request_id) for request_id in ids] == [1] * len(ids)


def test_every_line_is_one_json_object(gateway: Gateway) -> None:
    gateway.log_line(gateway.chat("app").headers["x-request-id"])
    for line in Path(gateway.up["access_log"]).read_text().splitlines():
        assert isinstance(json.loads(line), dict)


def test_a_client_that_leaves_mid_stream_has_its_line(gateway: Gateway) -> None:
    headers = {**bearer("app"), **simulated("stall=mid_stream")}
    with gateway.http.stream("POST", CHAT, json=STREAM, headers=headers) as stream:
        chunks = stream.iter_bytes()  # kept: a closed iterator closes the stream
        next(chunks)
    line = gateway.log_line(stream.headers["x-request-id"])
    assert "DC" in line["flags"]
    assert (line["decision"], line["usage"]["complete"]) == ("allowed", False)
    assert cost(line) > 0


# What a provider has generated by then is 32 tokens of a stream. What is sent whole is generated
# whole, whoever waits for it: as much as was reserved.
@pytest.mark.parametrize(("is_stream", "charged"), [(True, 32), (False, 1_000)])
def test_a_client_that_leaves_before_the_answer_has_its_line(
    gateway: Gateway, *, is_stream: bool, charged: int
) -> None:
    agent = f"leaves-early-{charged}"
    headers = {**bearer("app"), **simulated("stall=before_headers"), "user-agent": agent}
    body = {**STREAM, "stream": is_stream}
    with pytest.raises(httpx.ReadTimeout):
        gateway.http.post(CHAT, json=body, headers=headers, timeout=0.3)

    def find() -> dict[str, Any] | None:
        lines = gateway.log_lines()
        return next((one for one in lines if one.get("user_agent") == agent), None)

    line = wait_for(find, "its line")
    assert (line["key_id"], line["alias"]) == ("app", "chat")
    assert "DC" in line["flags"]
    assert line["usage"]["usage_source"] == "estimated"
    assert line["usage"]["output_tokens"] == charged


@pytest.mark.parametrize(
    ("directive", "code"),
    [("stall=before_headers", "provider_timeout"), ("abort_after=0", "allowed")],
)
def test_an_answer_that_does_not_come_whole_is_charged_as_long_as_was_reserved(
    gateway: Gateway, directive: str, code: str
) -> None:
    body = {**STREAM, "stream": False}
    headers = {**bearer("app"), **simulated(directive), "user-agent": directive}
    with contextlib.suppress(httpx.RemoteProtocolError):
        gateway.http.post(CHAT, json=body, headers=headers)

    def find() -> dict[str, Any] | None:
        return next((o for o in gateway.log_lines() if o.get("user_agent") == directive), None)

    line = wait_for(find, "its line")
    assert line["decision"] == code
    assert line["usage"]["output_tokens"] == 1_000


def test_a_body_that_never_arrives_whole_has_a_line_and_is_not_sent(gateway: Gateway) -> None:
    url = urlsplit(gateway.endpoint)
    head = (
        f"POST {CHAT} HTTP/1.1\r\nhost: gateway\r\nuser-agent: half-a-body\r\n"
        f"authorization: Bearer {test_key('app')}\r\ncontent-type: application/json\r\n"
        'content-length: 1000\r\n\r\n{"model":"chat"'
    )
    with socket.create_connection((str(url.hostname), url.port or 80)) as client:
        client.sendall(head.encode())
        # Closed at once Envoy might never read it; a read request counts its bytes.
        wait_for(lambda: _active_requests(gateway) > 0, "the request to be read")
    wait_for(
        lambda: any(line.get("user_agent") == "half-a-body" for line in gateway.log_lines()),
        "its line",
    )
    assert gateway.received() == []


def _active_requests(gateway: Gateway) -> float:
    name = "envoy_http_downstream_rq_active"
    return gateway.metric("envoy", name, envoy_http_conn_manager_prefix="tollhouse")


def test_the_cost_of_a_line_is_what_the_ledger_charged(gateway: Gateway) -> None:
    name, labels = "tollhouse_cost_usd_total", {"team": "web", "alias": "chat-defaults"}
    gateway.settled(gateway.chat("app", model="chat-defaults").headers["x-request-id"])
    before = gateway.metric("ratelimit_service", name, **labels)
    answers = [
        gateway.chat(
            "app", simulated("cached_tokens=8,completion_tokens=30"), model="chat-defaults"
        ),
        gateway.chat("app", simulated("no_usage"), model="chat-defaults"),
        gateway.chat("app", model="chat-defaults", stream=True),
        gateway.chat("app", simulated("status=500"), model="chat-defaults"),
    ]
    lines = [gateway.settled(answer.headers["x-request-id"]) for answer in answers]
    charged = gateway.metric("ratelimit_service", name, **labels) - before
    assert charged == pytest.approx(sum(map(cost, lines)) / 1e9)
    assert [cost(line) > 0 for line in lines] == [True, True, True, False]


def test_the_times_of_a_line_are_those_of_the_request(gateway: Gateway) -> None:
    before = datetime.now(UTC)
    line = line_of(gateway, gateway.chat("app", simulated("delay_ms=200"), stream=True))
    started = datetime.strptime(line["time"], "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    assert abs(started - before) < timedelta(seconds=5)
    assert 200 <= line["provider_first_byte_ms"] <= line["duration_ms"] < 5000
    assert line["usage"]["first_event_ms"] >= 0
    assert line["usage"]["events"] == 14


def test_a_request_id_is_ours_whatever_the_client_sends(gateway: Gateway) -> None:
    theirs = {"x-request-id": "chosen-by-the-client", "x-envoy-force-trace": "1"}
    answer = gateway.chat("app", theirs)
    assert re.fullmatch("[0-9a-f-]{36}", answer.headers["x-request-id"])
    assert line_of(gateway, answer)["request_id"] == answer.headers["x-request-id"]
    assert b"chosen-by-the-client" not in Path(gateway.up["access_log"]).read_bytes()


def test_headers_of_ours_sent_by_a_client_are_not_believed(gateway: Gateway) -> None:
    theirs = {
        "x-tollhouse-decision": "allowed",
        "x-tollhouse-provider": "other",
        "x-tollhouse-answered-by": "provider",
        "x-tollhouse-rewritten": "1",
        "x-forwarded-for": "203.0.113.9",
    }
    admitted = line_of(gateway, gateway.chat("app", theirs))
    assert (admitted["provider"], admitted["client_address"]) == ("openai", "127.0.0.1")
    refused = line_of(gateway, gateway.chat("app", theirs, model="secret-model"))
    assert (refused["decision"], refused["status"]) == ("model_not_allowed", 403)


def test_a_query_is_not_logged(gateway: Gateway) -> None:
    for path in (f"{CHAT}?api_key=sk-e2e-in-the-query", "/v1/files?key=sk-e2e-in-the-query"):
        answer = gateway.post(path, {"model": "chat", "messages": [{"role": "user", "content": "x"}]}, "app")  # fmt: skip  # noqa: E501
        assert line_of(gateway, answer)["path"] == path.partition("?")[0]
    answer = gateway.http.get("/v1/models?key=sk-e2e-in-the-query")
    assert line_of(gateway, answer)["path"] == "/v1/models"
    assert "sk-e2e-in-the-query" not in Path(gateway.up["access_log"]).read_text()


@pytest.mark.parametrize(
    "path",
    ["/v1/models/{}", "/v1/{}", "/{}/v1/chat/completions", "/v1/chat/completions%3fkey={}"],
)
@pytest.mark.parametrize("name", ["app", None], ids=["with its key", "without a key"])
def test_a_key_in_the_wrong_place_is_logged_without_its_secret(
    gateway: Gateway, path: str, name: str | None
) -> None:
    ours, theirs = test_key("app"), "sk-proj-e2eInTheWrongPlace0123"
    for key in (ours, theirs):
        headers = {"user-agent": f"agent/1 {key}", **(bearer(test_key(name)) if name else {})}
        answer = httpx.get(
            f"{gateway.up['endpoint']}{path.format(key)}", headers=headers, trust_env=False
        )
        line = line_of(gateway, answer)
        shown = f"{key[:4] if key is ours else key[:3]}…"
        assert line["user_agent"] == f"agent/1 {shown}"
        assert line["path"] == path.format(shown)
        assert key not in answer.text
    written = Path(gateway.up["access_log"]).read_text()
    assert ours not in written and theirs not in written


@contextlib.contextmanager
def hanging_up() -> Iterator[str]:
    """A provider that reads requests and closes the connection; its URL."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection:
                        connection.recv(65_536)

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)


def test_a_provider_that_hangs_up_is_taken_to_have_begun(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("sk-e2e-of-the-provider")
    with hanging_up() as url:
        there = f"base_url: {url}/v1\n    api_key: file:{secret}"
        providers = e2e_policy.PROVIDERS.replace(
            "base_url: https://api.openai.com/v1\n    api_key: ${OPENAI_API_KEY}", there
        )
        assert there in providers
        policies = e2e_policy.write(tmp_path / "policies", providers=providers)
        with running(policies, tmp_path / "run") as gateway:
            answer = gateway.chat("app")
            line = line_of(gateway, answer)
    assert (answer.status_code, line["decision"], line["flags"]) == (503, "provider_error", "UC")
    assert (line["usage"]["usage_source"], line["usage"]["output_tokens"]) == ("estimated", 32)
