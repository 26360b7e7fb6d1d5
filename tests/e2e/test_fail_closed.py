"""Whatever breaks inside the gateway, no request goes to a provider unread, unchecked or
unrewritten.

One gateway runs on copies of the Lua files in which the header `x-break` makes a chosen line fail.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support import e2e_policy
from tests.support.gateway import Gateway, launch, running, wait_for
from tollhouse.paths import ENVOY_DIR

# By file: (line that stays, what goes before it), for one value of x-break each.
BREAKS = {
    "request.lua": [
        ("  local ok, problem = pcall(read, handle)", "request, before anything"),
        ("  return scan.read(bytes, endpoint.name)", "request, while reading"),
    ],
    "withhold.lua": [
        ("    local headers, withheld = handle:headers(), {}", "withhold, before anything"),
        ('    headers:replace("x-tollhouse-withheld", "1")', "withhold, before it is done"),
    ],
    "rewrite.lua": [
        ("    local ok, problem = pcall(rewrite, handle, provider)", "rewrite, before anything"),
        ("  handle:body():setBytes(rewritten)", "rewrite, before the new body"),
        ('  handle:headers():replace("content-length"', "rewrite, after the new body"),
    ],
    "response.lua": [
        ("  local headers = handle:headers()\n  if not headers", "response, before anything"),
        ('  if content_type:find("text/event-stream", 1, true) then', "response, while reading"),
    ],
}  # fmt: skip
# By file: (old, new), where failing is not raising.
CHANGES = {
    "request.lua": [
        (
            '  set("model", facts.model, "none")',
            '  if BROKEN ~= "no model" then set("model", facts.model, "none") end',
        ),
        (
            '  set("n", facts.n, "1")',
            '  if BROKEN ~= "no n" then set("n", facts.n, "1") end',
        ),
        (
            "  return scan.read",
            '  BROKEN = handle:headers():get("x-break")\n'
            # Request headers are out of reach on the way back.
            '  handle:streamInfo():dynamicMetadata():set("test", "break", BROKEN or "")\n'
            "  return scan.read",
        ),
    ],
    "rewrite.lua": [
        (
            "  local rewritten = splice",
            '  if handle:headers():get("x-break") == "splice" then rules.model = nil end\n'
            '  if handle:headers():get("x-break") == "silence" then return end\n'
            "  local rewritten = splice",
        ),
    ],
}

PROVIDER_WITHOUT_KEY = """\
  keyless:
    dialect: openai
    base_url: {url}/v1
    api_key: file:{file}
"""


def broken_copy(directory: Path) -> Path:
    """Our Envoy files, breakable by header."""
    copy = Path(shutil.copytree(ENVOY_DIR, directory))
    header = 'handle:headers():get("x-break")'
    asked = {
        "request.lua": header,
        "withhold.lua": header,
        "rewrite.lua": header,
        "response.lua": '(handle:streamInfo():dynamicMetadata():get("test") or {})["break"]',
    }
    for name in BREAKS:  # noqa: PLC0206
        path = copy / "lua" / name
        text = path.read_text()
        for old, new in CHANGES.get(name, []):
            text = _replaced(text, old, new)
        for line, when in BREAKS[name]:
            check = f'  if {asked[name]} == "{when}" then error("broken") end\n'
            text = _replaced(text, line, check + line)
        path.write_text(text)
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
    policies = e2e_policy.write(root / "policies", providers=providers)
    with running(policies, root / "run", env=env) as gateway:
        yield gateway


def test_without_a_break_the_copy_serves(breakable: Gateway) -> None:
    breakable.forget()
    assert breakable.chat("app").status_code == 200
    assert len(breakable.received()) == 1


@pytest.mark.parametrize(
    "when",
    [
        "request, before anything",
        "request, while reading",
        "no model",
        "withhold, before anything",
        "withhold, before it is done",
        "rewrite, before anything",
        "splice",
        "silence",
        "rewrite, before the new body",
        "rewrite, after the new body",
    ],
)
def test_a_script_that_fails_on_the_way_in_stops_the_request(breakable: Gateway, when: str) -> None:
    breakable.forget()
    answer = breakable.chat("app", {"x-break": when})
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal_error")
    assert breakable.received() == []
    line = breakable.log_line(answer.headers["x-request-id"])
    assert (line["status"], line["decision"]) == (500, "internal_error")


@pytest.mark.parametrize("when", ["splice", "silence"])
def test_a_request_that_was_stopped_costs_nothing(breakable: Gateway, when: str) -> None:
    before = breakable.metric(
        "ratelimit_service", "tollhouse_settlements_total", usage_source="none"
    )
    answer = breakable.chat("app", {"x-break": when})
    line = breakable.log_line(answer.headers["x-request-id"])
    assert line["reservation"]["reservation_id"]
    assert "usage" not in line
    wait_for(
        lambda: (
            breakable.metric(
                "ratelimit_service", "tollhouse_settlements_total", usage_source="none"
            )
            > before
        ),
        "the settlement at nothing",
    )


def test_a_descriptor_that_lacks_a_fact_is_not_admitted(breakable: Gateway) -> None:
    breakable.forget()
    answer = breakable.chat("app", {"x-break": "no n"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "ledger_unavailable")
    assert breakable.received() == []
    assert "no n in the descriptor" in breakable.stderr_of("ratelimit_service")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("when", ["response, before anything", "response, while reading"])
def test_a_script_that_fails_on_the_way_back_leaves_an_answer_charged_by_estimate(
    breakable: Gateway, when: str, stream: bool
) -> None:
    answer = breakable.chat("app", {"x-break": when}, stream=stream)
    assert answer.status_code == 200
    assert "tok12" in answer.text
    usage = breakable.log_line(answer.headers["x-request-id"])["usage"]
    assert usage["usage_source"] == "estimated"
    assert usage["input_tokens"] > 0


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
