"""Whatever breaks inside the gateway, no request goes to a provider unread, unchecked or
unrewritten; and what a provider has answered is settled.

One gateway runs on copies of the Lua files in which the header `x-break` makes a chosen line fail.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.lua import forms
from tests.support import e2e_policy
from tests.support.gateway import Gateway, launch, running, test_key, wait_for
from tollhouse.paths import ENVOY_DIR

HEADER = 'handle:headers():get("x-break")'
# Each Lua filter has globals of its own. By file: (line that stays, where the filter learns before
# it what to break).
LEARNING = {
    "request.lua": [("  local ok, problem = pcall(read, handle)", HEADER)],
    "rewrite.lua": [("    local ok, problem = pcall(rewrite, handle, provider)", HEADER)],
    "response.lua": [
        ("  local ok, problem = pcall(failure.remember, handle)", HEADER),
        # Request headers are out of reach on the way back.
        (
            "  local ok, problem = pcall(read, handle)",
            '(handle:streamInfo():dynamicMetadata():get("test") or {})["break"]',
        ),
    ],
}
REMEMBERING = (
    "  handle:streamInfo():dynamicMetadata()"
    ':set("test", "break", handle:headers():get("x-break") or "")\n'
)
# By file: (line that stays, what goes before it), for one value of x-break each.
BREAKS = {
    "request.lua": [
        ("  local ok, problem = pcall(read, handle)", "request, before anything"),
        ("  local endpoint = paths.of(path)", "request, before the endpoint"),
        ("  return body:getBytes(0, body:length())", "request, at its body"),
        ("  return {response_id = endpoint.response_id}", "request, at its id"),
        ("  if not facts then return refuse", "request, before the facts"),
        ('  set("stream", facts.stream)', "request, among the facts"),
    ],
    "scan.lua": [
        ("  local watch = media.watch(endpoint)", "scan"),
        ("  facts.unbounded = unbounded.first(s,", "scan, before what has no bound"),
    ],
    "form.lua": [("  local boundary, code, message = multipart.boundary", "form")],
    "multipart.lua": [('  local delimiter = "--" .. boundary', "multipart")],
    "disposition.lua": [("  local part, seen, from = { is_plain", "disposition")],
    "withhold.lua": [
        ("    local withheld = {}", "withhold, before anything"),
        ("    for i = 1, #withheld do headers:remove", "withhold, before it is done"),
    ],
    "rewrite.lua": [
        ("    local ok, problem = pcall(rewrite, handle, provider)", "rewrite, before anything"),
        ("  local asked, kept = begin(handle, provider", "rewrite, before the attempt"),
        ("  list[#list + 1] = { provider", "rewrite, in the attempt"),
        ("    rewrite_body(handle, metadata:get", "rewrite, before the rules"),
        ("  handle:body():setBytes(rewritten)", "rewrite, before the new body"),
        ('  handle:headers():replace("content-length"', "rewrite, after the new body"),
        ('  headers:replace(":path", path_for(', "rewrite, before the path"),
        ('  headers:replace(":authority"', "rewrite, after the path"),
        ("  tried.answered(metadata, metadata:get", "rewrite, on the way back"),
    ],
    "splice.lua": [
        ("  check_spans(s, spans)\n  local plan", "splice, before anything"),
        ("  return apply(s, plan.edits)", "splice, before the edits are made"),
    ],
    "estimate.lua": [
        ("  local endpoint, reserved = request[", "estimate"),
        ("  local seen = ceil(bytes / BYTES_PER_TOKEN)", "estimate of an answer"),
    ],
    "response.lua": [
        ("  local ok, problem = pcall(failure.remember, handle)", "response, on the way up"),
        ("  local ok, problem = pcall(read, handle)", "response, before anything"),
        ("  headings.keep_allowed(headers)", "response, while reading"),
    ],
    "headings.lua": [("  local removed = {", "headings")],
    "passage.lua": [
        ("  local headers, call = handle:headers(), call_of(handle, asked", "passage"),
        ("  return answer and shown.answer(", "passage, before an answer is shown"),
    ],
    "sse.lua": [
        ("  local data, shift, place = data_of(event)", "an event"),
        ("  local edits = self.failure and", "an event, before it is shown"),
    ],
    "usage.lua": [("  local own = object(s, reported(s, answer))", "usage")],
    "record.lua": [("  for total, parts in pairs(PARTS) do", "record")],
    "ids.lua": [('    local signed = raw .. "." .. tag', "ids")],
    "shown.lua": [("  sort(edits, by_place)", "shown")],
    "failure.lua": [
        ("  if is_about_the_credential(status, body)", "failure, in translation"),
        ("  local headers = handle:headers()\n  if is_anthropic(", "failure, of ours"),
    ],
}
# By file: (old, new), where failing is not raising.
CHANGES = {
    "request.lua": [
        (
            '  set("model", facts.model)',
            '  if BROKEN ~= "no model" then set("model", facts.model) end',
        ),
        (
            '  set("size", size_of(endpoint, facts))',
            '  if BROKEN ~= "no size" then set("size", size_of(endpoint, facts)) end',
        ),
        ("  if facts.spans then", '  if facts.spans and BROKEN ~= "no spans" then'),
    ],
    "rewrite.lua": [
        (
            "  local rewritten = splice",
            '  if BROKEN == "no new model" then rules.model = nil end\n  local rewritten = splice',
        ),
        (
            '  headers:replace(":authority", provider.host)\n',
            '  headers:replace(":authority", provider.host)\n'
            '  if BROKEN == "no seal" then return end\n',
        ),
    ],
}
MODELS = f"""{e2e_policy.MODELS}
  hearing:
    provider: openai
    model: gpt-4o-transcribe
    endpoints: [audio/transcriptions]
    price: {e2e_policy.PRICE}
  stored:
    provider: openai
    model: gpt-5.4
    endpoints: [responses]
    max_output_tokens: 100
    price: {e2e_policy.PRICE}
  the-files: {{provider: openai, endpoints: [files], price: {{per_request: 0.01}}}}
  pair:
    deployments:
      - {{provider: openai, model: gpt-4o}}
      - {{provider: other, model: other-large, order: 2}}
    max_output_tokens: 100
    price: {e2e_policy.PRICE}
"""
TEAM = e2e_policy.TEAM.replace("embed]", "embed, hearing, stored, the-files, pair]")

PROVIDER_WITHOUT_KEY = """\
  keyless:
    dialect: openai
    base_url: {url}/v1
    api_key: file:{file}
"""


def broken_copy(directory: Path) -> Path:
    """Our Envoy files, breakable by header."""
    copy = Path(shutil.copytree(ENVOY_DIR, directory))
    for name, breaks in BREAKS.items():
        path = copy / "lua" / name
        text = path.read_text()
        for old, new in CHANGES.get(name, []):
            text = _replaced(text, old, new)
        for line, when in breaks:
            check = f'  if BROKEN == "{when}" then error("broken") end\n'
            text = _replaced(text, line, check + line)
        for line, learnt in LEARNING.get(name, []):
            first = f'  if BROKEN == "{dict(breaks)[line]}"'
            text = _replaced(text, first, f"  BROKEN = {learnt}\n{first}")
        path.write_text(text)
    request = copy / "lua/request.lua"
    learnt = f"  BROKEN = {HEADER}\n"
    request.write_text(_replaced(request.read_text(), learnt, learnt + REMEMBERING))
    return copy


def _replaced(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1, f"not once in the script: {old}"
    return text.replace(old, new)


@pytest.fixture(scope="module")
def breakable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    root = tmp_path_factory.mktemp("breakable")
    env = {"TOLLHOUSE_ENVOY_DIR": str(broken_copy(root / "envoy"))}
    # The scripts in the provider's cluster see what may pass to it.
    providers = e2e_policy.PROVIDERS.replace(
        "  other:\n", "    forward_headers: [x-break]\n  other:\n"
    )
    files = {"providers": providers, "models": MODELS, "teams__web": TEAM}
    policies = e2e_policy.write(root / "policies", **files)
    with running(policies, root / "run", env=env) as gateway:
        yield gateway


# One call of each way in

Headers = Mapping[str, str]


def chat(gateway: Gateway, headers: Headers) -> httpx.Response:
    return gateway.chat("app", headers)


def chat_pair(gateway: Gateway, headers: Headers) -> httpx.Response:
    return gateway.chat("app", headers, model="pair")


def chat_streamed(gateway: Gateway, headers: Headers) -> httpx.Response:
    return gateway.chat("app", headers, stream=True)


def form(gateway: Gateway, headers: Headers) -> httpx.Response:
    body = forms.form(forms.text("model", "hearing"), forms.file("file", b"\0" * 4000))
    path, sent = "/v1/audio/transcriptions", {**headers, "content-type": forms.CONTENT_TYPE}
    return gateway.post(path, body, "app", sent)


def respond(gateway: Gateway, headers: Headers) -> httpx.Response:
    return gateway.post("/v1/responses", {"model": "stored", "input": "Say hello"}, "app", headers)


def get(gateway: Gateway, path: str, headers: Headers) -> httpx.Response:
    own = {"authorization": f"Bearer {test_key('app')}"}
    return gateway.http.get(path, headers={**own, **headers})


def stored(gateway: Gateway, headers: Headers) -> httpx.Response:
    made = respond(gateway, {}).json()["id"]
    gateway.forget()
    return get(gateway, f"/v1/responses/{made}", headers)


def files(gateway: Gateway, headers: Headers) -> httpx.Response:
    return get(gateway, "/v1/files?limit=2", headers)


Call = Callable[[Gateway, Headers], httpx.Response]
CALLS: list[Call] = [chat, chat_streamed, form, respond, stored, files]


def name_of(call: object) -> str | None:
    return getattr(call, "__name__", None)


@pytest.mark.parametrize("call", CALLS, ids=name_of)
def test_without_a_break_the_copy_serves(breakable: Gateway, call: Call) -> None:
    breakable.forget()
    answer = call(breakable, {})
    assert answer.status_code == 200, answer.text
    assert len(breakable.received()) == 1


# The way up

EVERYWHERE = [
    "request, before anything",
    "request, before the endpoint",
    "withhold, before anything",
    "withhold, before it is done",
    "rewrite, before anything",
    "rewrite, before the attempt",
    "rewrite, in the attempt",
    "rewrite, before the path",
    "rewrite, after the path",
    "no seal",
    "estimate",
]
WITH_A_BODY = [
    "request, at its body",
    "request, before the facts",
    "request, among the facts",
    "no model",
    "no spans",
    "rewrite, before the rules",
    "splice, before anything",
    "splice, before the edits are made",
    "no new model",
    "rewrite, before the new body",
    "rewrite, after the new body",
]
JSON = ["scan", "scan, before what has no bound"]
STOPPED: dict[Call, list[str]] = {
    chat: [*EVERYWHERE, *WITH_A_BODY, *JSON, "estimate of an answer"],
    chat_streamed: ["scan", "splice, before anything", "no seal"],
    form: [*EVERYWHERE, *WITH_A_BODY, "form", "multipart", "disposition"],
    respond: ["scan", "splice, before anything", "no seal"],
    stored: [*EVERYWHERE, "request, at its id"],
    files: EVERYWHERE,
}


@pytest.mark.parametrize(
    ("call", "when"), [(call, when) for call, breaks in STOPPED.items() for when in breaks],
    ids=name_of,
)  # fmt: skip
def test_a_script_that_fails_on_the_way_in_stops_the_request(
    breakable: Gateway, call: Call, when: str
) -> None:
    breakable.forget()
    answer = call(breakable, {"x-break": when})
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal_error")
    assert breakable.received() == []
    line = breakable.log_line(answer.headers["x-request-id"])
    assert (line["status"], line["decision"]) == (500, "internal_error")


def test_a_script_that_fails_at_the_first_deployment_stops_the_request_at_all_of_them(
    breakable: Gateway,
) -> None:
    breakable.forget()
    headers = {"x-break": "splice, before anything"}
    answer = breakable.chat("app", headers, model="pair")
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal_error")
    assert breakable.received() == []
    line = breakable.log_line(answer.headers["x-request-id"])
    assert [one["provider"] for one in line["tried"]] == ["openai"]


def settled_at_nothing(gateway: Gateway) -> float:
    return gateway.metric("ratelimit_service", "tollhouse_settlements_total", usage_source="none")


@pytest.mark.parametrize(
    "when", ["rewrite, before anything", "rewrite, in the attempt", "no new model", "no seal"]
)
def test_a_request_that_was_stopped_costs_nothing(breakable: Gateway, when: str) -> None:
    before = settled_at_nothing(breakable)
    answer = chat(breakable, {"x-break": when})
    line = breakable.log_line(answer.headers["x-request-id"])
    assert line["reservation"]["reservation_id"]
    assert "usage" not in line
    wait_for(lambda: settled_at_nothing(breakable) > before, "the settlement at nothing")


def test_a_descriptor_that_lacks_a_fact_is_not_admitted(breakable: Gateway) -> None:
    breakable.forget()
    answer = chat(breakable, {"x-break": "no size"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "ledger_unavailable")
    assert breakable.received() == []
    assert "no size in the descriptor" in breakable.stderr_of("ratelimit_service")


# The way back


def usage_of(gateway: Gateway, answer: httpx.Response) -> dict[str, Any]:
    """Of an answer of the provider's, once it is settled."""
    usage: dict[str, Any] = gateway.settled(answer.headers["x-request-id"])["usage"]
    return usage


UNREAD = ["response, before anything", "response, while reading", "headings", "passage", "usage"]
# What the simulated provider says in each.
SAID: dict[Call, str] = {
    chat: "tok12",
    chat_pair: "tok12",
    chat_streamed: "tok12",
    respond: "tok12",
    form: '"text"',
}


@pytest.mark.parametrize(
    ("call", "when"),
    [
        *((call, when) for call in SAID for when in UNREAD),
        *((chat, "record"), (chat_streamed, "record"), (chat_streamed, "an event")),
    ],
    ids=name_of,
)
def test_an_answer_that_no_script_could_read_reaches_the_client_and_is_charged_by_estimate(
    breakable: Gateway, call: Call, when: str
) -> None:
    answer = call(breakable, {"x-break": when})
    assert answer.status_code == 200
    assert SAID[call] in answer.text
    usage = usage_of(breakable, answer)
    assert usage["usage_source"] == "estimated"
    assert usage["input_tokens"] > 0
    assert usage["output_tokens"] > 0


@pytest.mark.parametrize(
    ("call", "when"),
    [
        (chat, "passage, before an answer is shown"),
        (chat, "shown"),
        (respond, "shown"),
        (respond, "ids"),
        (chat_pair, "rewrite, on the way back"),
        *((call, "response, on the way up") for call in SAID),
    ],
    ids=name_of,
)
def test_an_answer_that_could_not_be_changed_reaches_the_client_and_is_charged_as_reported(
    breakable: Gateway, call: Call, when: str
) -> None:
    answer = call(breakable, {"x-break": when})
    assert answer.status_code == 200
    assert SAID[call] in answer.text
    usage = usage_of(breakable, answer)
    assert (usage["usage_source"], usage["output_tokens"]) == ("reported", 12)


def test_a_stream_whose_events_could_not_be_changed_reaches_the_client_and_is_charged_for_what_came(
    breakable: Gateway,
) -> None:
    answer = chat_streamed(breakable, {"x-break": "an event, before it is shown"})
    assert "tok12" in answer.text
    assert usage_of(breakable, answer)["output_tokens"] > 12


def test_a_providers_error_that_no_script_could_translate_says_nothing_of_the_provider(
    breakable: Gateway,
) -> None:
    faults = {"x-simulate": "status=400"}
    plain = chat(breakable, faults)
    answer = chat(breakable, {**faults, "x-break": "failure, in translation"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "provider_error")
    assert plain.json()["error"]["message"] not in answer.text
    assert usage_of(breakable, answer)["usage_source"] == "none"


def test_a_refusal_whose_shape_could_not_be_changed_is_still_a_refusal(breakable: Gateway) -> None:
    breakable.forget()
    body = {"model": "chat", "max_tokens": 9, "messages": []}
    shaped = breakable.post("/v1/messages", body, "app")
    plain = breakable.post("/v1/messages", body, "app", {"x-break": "failure, of ours"})
    assert shaped.json()["type"] == "error"
    assert (plain.status_code, plain.json().keys()) == (shaped.status_code, {"error"})
    assert plain.json()["error"]["message"] == shaped.json()["error"]["message"]
    assert breakable.received() == []


def test_without_a_credential_nothing_is_sent_or_charged_and_the_caller_learns_whose_fault_it_is(
    tmp_path: Path, policies: Path
) -> None:
    (tmp_path / "empty.key").touch()
    with running(policies, tmp_path / "run") as gateway:
        bare = PROVIDER_WITHOUT_KEY.format(url=gateway.up["simulator"], file=tmp_path / "empty.key")
        models = e2e_policy.MODELS.replace("provider: other", "provider: keyless")
        e2e_policy.write(policies, providers=e2e_policy.PROVIDERS + bare, models=models)

        def refused() -> httpx.Response | None:
            gateway.forget()
            answer = gateway.chat("app", model="chat-other")
            return answer if "credential" in answer.text else None

        answer = wait_for(refused, "the refusal")
        assert (answer.status_code, answer.json()["error"]["code"]) == (502, "provider_error")
        assert answer.headers["x-tollhouse-decision"] == "provider_error"
        line = gateway.log_line(answer.headers["x-request-id"])
        assert line["status_details"] == "failed_to_inject_credential"
        assert "usage" not in line
        assert gateway.received() == []


@pytest.mark.parametrize("name", ["request.lua", "rewrite.lua"])
def test_a_script_that_does_not_parse_keeps_the_gateway_from_starting(
    tmp_path: Path, policies: Path, name: str
) -> None:
    copy = Path(shutil.copytree(ENVOY_DIR, tmp_path / "envoy"))
    script = copy / "lua" / name
    script.write_text(script.read_text() + "\nthis is no Lua\n")
    process = launch(policies, tmp_path / "run", env={"TOLLHOUSE_ENVOY_DIR": str(copy)})
    assert process.wait(timeout=60) == 1
    said = (tmp_path / "run/up.log").read_text()
    assert "envoy" in said.lower()
    assert f"{name}:" in said
