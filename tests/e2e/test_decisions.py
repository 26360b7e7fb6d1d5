"""Every decision code, provoked through the whole road: answer, header, log line, and what was
sent.

What is true of every code is in `check`; what provokes each stands below it.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

from tests.support import e2e_policy
from tests.support.gateway import Gateway, running, test_key, wait_for
from tollhouse.decisions import ALLOWED, CODES

CHAT = "/v1/chat/completions"
MESSAGES = b'"messages":[{"role":"user","content":"Say hello"}]'

Test = TypeVar("Test", bound=Callable[..., object])
_PROVOKED: set[str] = set()


def provokes(code: str) -> Callable[[Test], Test]:
    """Marks a test of its own that provokes `code`."""

    def mark(test: Test) -> Test:
        _PROVOKED.add(code)
        return test

    return mark


class Caller:
    """One call, found again in the log by its own user agent: not every refusal has a request id,
    and one that is no HTTP to Envoy has no headers at all."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self._before = len(gateway.log_lines())
        self.agent = f"e2e-{uuid.uuid4().hex}"

    def headers(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        return {"user-agent": self.agent, **(more or {})}

    def chat(
        self, key: str | None, headers: Mapping[str, str] | None = None, **fields: Any
    ) -> httpx.Response:
        return self.gateway.chat(key, self.headers(headers), **fields)

    def post(
        self,
        body: bytes,
        key: str | None = "app",
        path: str = CHAT,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        return self.gateway.post(path, body, key, self.headers(headers))

    def request(self, method: str, path: str, headers: Mapping[str, str]) -> httpx.Response:
        return self.gateway.http.request(method, path, headers=self.headers(headers))

    def log_line(self) -> dict[str, Any]:
        me = self.agent

        def find() -> dict[str, Any] | None:
            lines = self.gateway.log_lines()[self._before :]
            return next((one for one in lines if one.get("user_agent", me) == me), None)

        return wait_for(find, "the log line")


def check(caller: Caller, answer: httpx.Response, code: str, key_id: str | None) -> dict[str, Any]:
    """What holds for every refusal; returns its log line."""
    expected = CODES[code]
    assert answer.status_code == expected.status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-tollhouse-decision"] == code
    assert answer.json().keys() == {"error"}
    error = answer.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert (error["code"], error["type"]) == (code, expected.type)
    assert len(error["message"]) > 20
    line = caller.log_line()
    assert (line["decision"], line["status"]) == (code, expected.status)
    assert line.get("key_id") == key_id
    if line["status_details"] in {"ext_authz_denied", "request_rate_limited"}:
        assert line["reason"] == error["message"]
    return line


@dataclass(frozen=True)
class Case:
    """One way to be refused; `key_id` is who the log says it was."""

    name: str
    code: str
    call: Callable[[Caller], httpx.Response]
    key_id: str | None = "app"
    param: str | None = None


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def _mistyped(key: str) -> str:
    return key[:-1] + ("a" if key[-1] != "a" else "b")


APP = bearer(test_key("app"))

REFUSED = [
    Case("not JSON", "invalid_body", lambda c: c.post(b"model=chat")),
    Case("not an object", "invalid_body", lambda c: c.post(b"[]")),
    Case(
        "another content type",
        "invalid_body",
        lambda c: c.post(b'{"model":"chat"}', headers={"content-type": "text/plain"}),
    ),
    Case("no body", "invalid_body", lambda c: c.post(b"")),
    Case(
        "other models to fall back to",
        "parameter_not_allowed",
        lambda c: c.post(b'{"model":"chat","audio":{},"models":["gpt-4"],%b}' % MESSAGES),
        param="models",
    ),
    Case(
        "fallbacks of a gateway behind this one",
        "parameter_not_allowed",
        lambda c: c.post(b'{"model":"chat","fallbacks":["gpt-4"],%b}' % MESSAGES),
        param="fallbacks",
    ),
    Case("no model", "model_missing", lambda c: c.post(b"{%b}" % MESSAGES), param="model"),
    Case("model is a number", "model_missing", lambda c: c.post(b'{"model":1}'), param="model"),
    Case(
        "two models",
        "ambiguous_body",
        lambda c: c.post(b'{"model":"chat","model":"secret-model",%b}' % MESSAGES),
    ),
    Case(
        "an escaped second model",
        "ambiguous_body",
        lambda c: c.post(rb'{"model":"chat","mod\u0065l":"secret-model",%b}' % MESSAGES),
    ),
    Case("no key", "invalid_api_key", lambda c: c.chat(None), None),
    Case("an unknown key", "invalid_api_key", lambda c: c.chat("nobody"), None),
    Case(
        "a provider's key",
        "invalid_api_key",
        lambda c: c.chat(None, bearer("sk-e2e-not-one-of-ours")),
        None,
    ),
    Case(
        "a mistyped key",
        "invalid_api_key",
        lambda c: c.chat(None, bearer(_mistyped(test_key("app")))),
        None,
    ),
    Case(
        "an unknown x-api-key",
        "invalid_api_key",
        lambda c: c.chat(None, {"x-api-key": "sk-e2e-not-one-of-ours"}),
        None,
    ),
    Case("a key in the query", "invalid_api_key", lambda c: c.request(
        "GET", f"/v1/models?api_key={test_key('app')}", {}), None),
    Case("basic authorization", "invalid_api_key", lambda c: c.chat(
        None, {"authorization": f"Basic {test_key('app')}"}), None),
    Case("expired", "key_expired", lambda c: c.chat("expired"), "expired"),
    Case("blocked", "key_blocked", lambda c: c.chat("blocked"), "blocked"),
    Case(
        "blocked, by x-api-key",
        "key_blocked",
        lambda c: c.chat(None, {"x-api-key": test_key("blocked")}),
        "blocked",
    ),
    Case(
        "a model of others",
        "model_not_allowed",
        lambda c: c.chat("app", model="secret-model"),
        param="model",
    ),
    Case(
        "a model outside the key's list",
        "model_not_allowed",
        lambda c: c.chat("narrow", model="embed"),
        "narrow",
        "model",
    ),
    *(
        Case(
            f"/v1/{name}",
            "endpoint_not_allowed",
            lambda c, name=name: c.post(b'{"model":"chat"}', path=f"/v1/{name}"),  # type: ignore[misc]
        )
        for name in ("batches", "files", "fine_tuning/jobs")
    ),
    *(
        Case(
            f"/v1/{name}, which the model does not serve",
            "endpoint_not_allowed",
            lambda c, name=name: c.post(b'{"model":"chat"}', path=f"/v1/{name}"),  # type: ignore[misc]
            param="model",
        )
        for name in ("responses", "completions")
    ),
    Case(
        "a model on an endpoint it does not serve",
        "endpoint_not_allowed",
        lambda c: c.chat("app", model="embed"),
        param="model",
    ),
    Case(
        "no such model",
        "model_not_found",
        lambda c: c.chat("app", model="gpt-nothing"),
        param="model",
    ),
    Case(
        "the provider's name of a model",
        "model_not_found",
        lambda c: c.chat("app", model="gpt-4o-2024-11-20"),
        param="model",
    ),
    Case(
        "a stored response that is not the key's",
        "response_not_found",
        lambda c: c.request("GET", "/v1/responses/resp_of_somebody", APP),
        param="response_id",
    ),
    Case("no such path", "unknown_endpoint", lambda c: c.post(b"{}", path="/v2/chat")),
    Case("GET for POST", "unknown_endpoint", lambda c: c.request("GET", CHAT, APP)),
    Case("POST for GET", "unknown_endpoint", lambda c: c.post(b"{}", path="/v1/models")),
    Case("DELETE a model", "unknown_endpoint", lambda c: c.request("DELETE", "/v1/models/chat", APP)),  # noqa: E501
    Case(
        "a search that no tokens bound, under a hard budget",
        "parameter_not_allowed",
        lambda c: c.chat("poor", web_search_options={}),
        "poor",
        param="web_search_options",
    ),
    Case("no money", "budget_exceeded", lambda c: c.chat("broke"), "broke"),
    Case(
        "more tokens than the limit",
        "rate_limit_tokens",
        lambda c: c.post(b'{"model":"chat",%b,"user":"%b"}' % (MESSAGES, b"x" * 2000), "few-tokens"),  # noqa: E501
        "few-tokens",
    ),
    Case(
        "too large",
        "request_too_large",
        lambda c: c.post(b'{"model":"chat","user":"%b"}' % (b"x" * 20_971_520)),
        None,
    ),
    Case(
        "a header with an underscore",
        "invalid_request",
        lambda c: c.chat("app", {"x_odd": "1"}),
        None,
    ),
    Case(
        "an escaped slash",
        "invalid_request",
        lambda c: c.request("GET", "/v1/models/a%2Fb", APP),
        None,
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", REFUSED, ids=[f"{c.code}: {c.name}" for c in REFUSED])
def test_a_refusal_says_why_in_body_header_and_log_and_nothing_is_sent(
    gateway: Gateway, case: Case
) -> None:
    caller = Caller(gateway)
    answer = case.call(caller)
    check(caller, answer, case.code, case.key_id)
    assert answer.json()["error"]["param"] == case.param
    assert gateway.received() == []


def test_a_known_key_is_admitted_as_bearer_or_as_x_api_key(gateway: Gateway) -> None:
    for headers in (
        APP,
        {"x-api-key": test_key("app")},
        {"authorization": f"bearer {test_key('app')}"},
    ):
        caller = Caller(gateway)
        answer = caller.chat(None, headers)
        assert answer.status_code == 200
        assert answer.headers["x-tollhouse-decision"] == ALLOWED
        line = caller.log_line()
        assert (line["decision"], line["reason"], line["key_id"]) == (ALLOWED, ALLOWED, "app")
    assert len(gateway.received()) == 3


def test_the_bearer_key_decides_when_both_headers_are_sent(gateway: Gateway) -> None:
    caller = Caller(gateway)
    answer = caller.chat(None, {**bearer(test_key("blocked")), "x-api-key": test_key("app")})
    check(caller, answer, "key_blocked", "blocked")


def test_a_mistyped_key_is_told_from_an_unknown_one(gateway: Gateway) -> None:
    mistyped = gateway.chat(None, bearer(_mistyped(test_key("app"))))
    unknown = gateway.chat("nobody")
    assert "checksum" in mistyped.json()["error"]["message"]
    assert "not known here" in unknown.json()["error"]["message"]


def test_a_stranger_learns_nothing_but_that_the_key_is_wrong(gateway: Gateway) -> None:
    answers = [
        gateway.chat("nobody", model=model) for model in ("chat", "secret-model", "gpt-nothing")
    ]
    answers.append(gateway.post("/v1/files", b"not json", "nobody"))
    answers.append(gateway.post(CHAT, b"not json", "nobody"))
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.text for answer in answers}) == 1


def test_a_refusal_names_whom_to_ask(gateway: Gateway) -> None:
    for key, model in (("blocked", "chat"), ("expired", "chat"), ("app", "secret-model")):
        message = gateway.chat(key, model=model).json()["error"]["message"]
        assert "web-leads@acme.test" in message


@provokes("rate_limit_requests")
def test_one_request_too_many_is_refused_with_when_to_try_again(gateway: Gateway) -> None:
    gateway.chat("one-request")  # whoever comes first takes the one request of this minute
    gateway.forget()
    caller = Caller(gateway)
    answer = caller.chat("one-request")
    check(caller, answer, "rate_limit_requests", "one-request")
    assert int(answer.headers["retry-after"]) >= 1
    assert gateway.received() == []


@provokes("budget_reserved")
def test_money_that_running_calls_may_need_is_not_given_twice(gateway: Gateway) -> None:
    caller = Caller(gateway)
    stalled = {"model": "chat", "stream": True, "messages": [{"role": "user", "content": "x"}]}
    headers = {**bearer(test_key("poor")), "x-simulate": "stall=mid_stream"}
    with gateway.http.stream("POST", CHAT, json=stalled, headers=headers) as stream:
        assert stream.status_code == 200
        chunks = stream.iter_bytes()  # kept: a closed iterator closes the stream
        next(chunks)
        check(caller, caller.chat("poor"), "budget_reserved", "poor")
    assert len(gateway.received()) == 1


@provokes("concurrency_limit")
def test_one_call_too_many_at_once_is_refused_and_the_next_after_it_is_not(
    gateway: Gateway,
) -> None:
    caller = Caller(gateway)
    stalled = {"model": "chat", "stream": True, "messages": [{"role": "user", "content": "x"}]}
    headers = {**bearer(test_key("one-at-a-time")), "x-simulate": "stall=mid_stream"}
    with gateway.http.stream("POST", CHAT, json=stalled, headers=headers) as stream:
        chunks = stream.iter_bytes()  # kept: a closed iterator closes the stream
        next(chunks)
        answer = caller.chat("one-at-a-time")
        check(caller, answer, "concurrency_limit", "one-at-a-time")
    assert len(gateway.received()) == 1
    wait_for(lambda: gateway.chat("one-at-a-time").status_code == 200, "the end of the call")
    assert [gateway.chat("one-at-a-time").status_code for _ in range(20)] == [200] * 20


@provokes("provider_timeout")
def test_a_silent_provider_is_a_timeout(gateway: Gateway) -> None:
    caller = Caller(gateway)
    answer = caller.chat("app", {"x-simulate": "stall=before_headers"})
    line = check(caller, answer, "provider_timeout", "app")
    assert line["provider"] == "openai"
    assert len(gateway.received()) == 1


@provokes("provider_error")
@pytest.mark.parametrize("fault", ["html_error=502", "status=401", "status=403"])
def test_what_a_provider_says_of_itself_is_not_shown_to_a_client(
    gateway: Gateway, fault: str
) -> None:
    caller = Caller(gateway)
    answer = caller.chat("app", {"x-simulate": fault})
    check(caller, answer, "provider_error", "app")
    message = answer.json()["error"]["message"]
    assert message.startswith(("The provider failed", "The provider refused the gateway's own"))
    assert "sim-" not in answer.text
    assert "<html" not in answer.text.lower()
    assert len(gateway.received()) == 1


@pytest.mark.parametrize("status", [400, 404, 422, 429, 500, 503])
def test_a_providers_error_keeps_its_status_and_is_marked_in_header_and_log(
    gateway: Gateway, status: int
) -> None:
    caller = Caller(gateway)
    answer = caller.chat("app", {"x-simulate": f"status={status}"})
    assert answer.status_code == status
    assert answer.headers["x-tollhouse-decision"] == "provider_error"
    assert answer.json()["error"]["message"]
    line = caller.log_line()
    assert (line["decision"], line["status"]) == ("provider_error", status)


@provokes("policy_unavailable")
def test_without_authz_service_nothing_passes(breakable_gateway: Gateway) -> None:
    caller = Caller(breakable_gateway)
    with breakable_gateway.frozen("authz_service"):
        answer = caller.chat("app")
        check(caller, answer, "policy_unavailable", None)
    assert answer.headers["retry-after"] == "1"
    assert breakable_gateway.received() == []
    assert breakable_gateway.chat("app").status_code == 200


@provokes("ledger_unavailable")
@pytest.mark.parametrize("part", ["redis", "ratelimit_service"])
def test_what_cannot_be_counted_is_refused(breakable_gateway: Gateway, part: str) -> None:
    caller = Caller(breakable_gateway)
    with breakable_gateway.frozen(part):
        answer = caller.chat("app")
        check(caller, answer, "ledger_unavailable", "app")
    assert answer.headers["retry-after"] == "1"
    assert breakable_gateway.received() == []
    wait_for(lambda: breakable_gateway.chat("app").status_code == 200, "the end of the outage")


@pytest.fixture
def allowing_gateway(tmp_path: Path) -> Iterator[Gateway]:
    org = e2e_policy.ORG + "on_store_outage: allow\n"
    policies = e2e_policy.write(tmp_path / "policies", org=org)
    with running(policies, tmp_path / "run") as gateway:
        yield gateway


def test_where_the_policy_says_so_a_call_passes_without_the_store_and_is_settled_later(
    allowing_gateway: Gateway,
) -> None:
    gateway = allowing_gateway
    with gateway.frozen("redis"):
        answer = gateway.chat("app")
        assert answer.status_code == 200
        assert answer.headers["x-tollhouse-decision"] == ALLOWED
        assert answer.headers["x-tollhouse-degraded"] == "ledger"
        line = gateway.log_line(answer.headers["x-request-id"])
        assert line["reservation"]["degraded"] is True
        assert gateway.metric("ratelimit_service", "tollhouse_cost_usd_total") == 0
    gateway.settled(answer.headers["x-request-id"])
    # 10 tokens at $2.50 and 12 at $10 a million
    cost = gateway.metric("ratelimit_service", "tollhouse_cost_usd_total")
    assert cost == pytest.approx(0.000145)
    wait_for(
        lambda: "x-tollhouse-degraded" not in gateway.chat("app").headers, "the end of the outage"
    )


@provokes("internal_error")
def test_a_request_that_could_not_be_rewritten_is_not_sent(breakable_gateway: Gateway) -> None:
    clusters = breakable_gateway.run_dir / "envoy" / "cds.json"
    broken = clusters.with_name(".broken")
    broken.write_text(clusters.read_text().replace('name = \\"other\\"', 'name = \\"no other\\"'))
    broken.replace(clusters)

    def refused() -> Caller | None:
        caller = Caller(breakable_gateway)
        breakable_gateway.forget()
        answer = caller.chat("app", model="chat-other")
        if answer.status_code == 200:
            return None
        check(caller, answer, "internal_error", "app")
        return caller

    wait_for(refused, "the broken cluster")
    assert breakable_gateway.received() == []
    assert breakable_gateway.chat("app", model="chat").status_code == 200


# What is refused by a part that this gateway does not run.
_ELSEWHERE = {"management_unavailable": "tests/e2e/test_management_off.py"}


def test_every_decision_code_is_provoked_here_or_where_its_part_runs() -> None:
    assert _PROVOKED | {case.code for case in REFUSED} | set(_ELSEWHERE) == set(CODES)
    for code, name in _ELSEWHERE.items():
        assert code in Path(name).read_text()
