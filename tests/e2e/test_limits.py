"""Requests, tokens and money at every level, through the real Envoy.

One gateway of its own: each test has its own team in it, so that tests do not share limits.
A small chat call reserves 73 bytes of body + 100 tokens of output, and takes 10 + 12 tokens.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from ratelimit_service.ledger.ledger import Ledger
from ratelimit_service.ledger.store import open_redis
from ratelimit_service.ledger.types import Slot
from tests.support import e2e_policy
from tests.support.gateway import Gateway, running, test_key, wait_for
from tollhouse.local.embedded_redis import EmbeddedRedis
from tollhouse.money import Price, Usage

CHAT = "/v1/chat/completions"
RESERVED_TOKENS = 73 + 100
TAKEN_TOKENS = 10 + 12
RESERVED_NANO = 73 * 2_500 + 100 * 10_000
TAKEN_NANO = 10 * 2_500 + 12 * 10_000

LIMITS = {
    "requests": "{requests_per_minute: 2}",
    "tokens": "{tokens_per_minute: 300}",
    "spend": "{monthly_spend_usd: 0.0012}",  # the first reservation is $0.0011825
}
LEVELS = ("key", "project", "team", "alias")
ALIASES = ("small", "all-three", *(f"alias-{what}" for what in LIMITS))
CODES = {
    "requests": "rate_limit_requests",
    "tokens": "rate_limit_tokens",
    "spend": "budget_exceeded",
}


def team(name: str, key: str = "", project: str = "", whole: str = "") -> str:
    """A team with one project `main` and one key of the team's name; each level's limits or ""."""
    lines = [f"team: {name}", f"owner: {name}-leads@acme.test"]
    lines += [f"limits: {whole}"] if whole else []
    lines += ["projects:", "  main:", f"    allowed_models: [{', '.join(ALIASES)}]"]
    lines += [f"    limits: {project}"] if project else []
    own = e2e_policy.key(name, f"  limits: {key}" if key else "")
    return "\n".join(lines) + "\n    keys:\n" + own


def alias(name: str, limits: str = "") -> str:
    extra = f"    limits: {limits}\n" if limits else ""
    return (
        f"  {name}:\n    provider: openai\n    model: gpt-4o-mini\n    max_output_tokens: 100\n"
        f"    price: {e2e_policy.PRICE}\n{extra}"
    )


def _tree() -> dict[str, str]:
    files = {"teams__all": team("all", "{requests_per_minute: 9}", "{requests_per_minute: 8}",
                                "{requests_per_minute: 3}")}  # fmt: skip
    aliases = [alias("small"), alias("all-three", "{requests_per_minute: 7}")]
    for what, limit in LIMITS.items():
        files[f"teams__key-{what}"] = team(f"key-{what}", key=limit)
        files[f"teams__project-{what}"] = team(f"project-{what}", project=limit)
        files[f"teams__team-{what}"] = team(f"team-{what}", whole=limit)
        files[f"teams__alias-{what}"] = team(f"alias-{what}")
        aliases.append(alias(f"alias-{what}", limit))
    for name, limit in OWN.items():
        files[f"teams__{name}"] = team(name, key=limit)
    return {**files, "models": "models:\n" + "".join(aliases), "teams__web": team("web")}


OWN = {
    "concurrent": "{requests_per_minute: 7}",
    "concurrent-money": "{monthly_spend_usd: 0.0048}",  # four reservations of $0.0011825
    "headers": "{requests_per_minute: 5, tokens_per_minute: 1000}",
    "too-long": "{tokens_per_minute: 100}",
    "stalled": "{monthly_spend_usd: 0.002}",
    "returned": "{tokens_per_minute: 1000}",
    "aborted": "{tokens_per_minute: 1000}",
    "failed": "{tokens_per_minute: 1000}",
    "batch": "{monthly_spend_usd: 100}",
    "tightest": "{requests_per_minute: 1, tokens_per_minute: 10, monthly_spend_usd: 0.000001}",
}


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    root = tmp_path_factory.mktemp("limits")
    with running(e2e_policy.write(root / "policies", **_tree()), root / "run") as gateway:
        yield gateway


@pytest.fixture
def gateway(limited: Gateway) -> Gateway:
    limited.forget()
    return limited


def call(gateway: Gateway, key: str, model: str = "small", **fields: Any) -> httpx.Response:
    simulate = fields.pop("simulate", None)
    headers = {"x-simulate": simulate} if simulate else None
    return gateway.chat(key, headers, model=model, **fields)


def settled(gateway: Gateway, answer: httpx.Response) -> dict[str, Any]:
    return gateway.settled(answer.headers["x-request-id"])


def spend(gateway: Gateway, slot: Slot, scope: str) -> tuple[int, int]:
    """Nano-dollars (settled, held) of this month, as they stand in Redis."""

    async def read() -> tuple[int, int]:
        ledger = Ledger(open_redis(EmbeddedRedis(gateway.run_dir / "redis").url))
        try:
            return await ledger.spend(slot, scope, f"{datetime.now(UTC):%Y-%m}")
        finally:
            await ledger.close()

    return asyncio.run(read())


def remaining_tokens(answer: httpx.Response) -> int:
    return int(answer.headers["x-ratelimit-remaining-tokens"])


# Each limit at each level


@pytest.mark.parametrize("what", LIMITS)
@pytest.mark.parametrize("level", LEVELS)
def test_a_limit_holds_at_its_level(gateway: Gateway, level: str, what: str) -> None:
    name = f"{level}-{what}"
    model = name if level == "alias" else "small"
    answers = [call(gateway, name, model)]
    while answers[-1].status_code == 200 and len(answers) < 20:
        settled(gateway, answers[-1])
        answers.append(call(gateway, name, model))
    refused = answers[-1]
    assert refused.status_code == 429
    assert refused.json()["error"]["code"] == CODES[what]
    words = {"key": f"key {name}", "project": "project main", "team": f"team {name}"}
    assert words.get(level, f"model {name}") in refused.json()["error"]["message"]
    assert len(gateway.received()) == len(answers) - 1 >= 1
    if what == "requests":
        assert len(answers) == 3


def test_the_limits_of_the_organisation_hold_for_all_its_teams_together(tmp_path: Path) -> None:
    tree = {**_tree(), "teams__one": team("one"), "teams__two": team("two")}
    policies = e2e_policy.write(tmp_path / "policies", **tree, org=_org("requests"))
    with running(policies, tmp_path / "run") as gateway:
        statuses = [call(gateway, name).status_code for name in ("one", "two", "one", "two")]
        assert statuses == [200, 200, 429, 429]
        for what, code in CODES.items():
            (policies / "org.yaml").write_text(_org(what))

            def refusal(code: str = code) -> str | None:
                answer = call(gateway, "two")
                error = answer.json().get("error", {"code": None})
                return str(error["message"]) if error["code"] == code else None

            assert "org acme" in wait_for(refusal, f"a refusal by the org's {what}")


def _org(what: str) -> str:
    return f"{e2e_policy.ORG}limits: {LIMITS[what]}\n"


def test_of_many_limits_the_tightest_refuses_and_is_the_one_shown(gateway: Gateway) -> None:
    answers = [call(gateway, "all", "all-three") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert {answer.headers["x-ratelimit-limit-requests"] for answer in answers} == {"3"}
    assert "team all" in answers[-1].json()["error"]["message"]


def test_a_refused_call_takes_nothing_of_any_limit(gateway: Gateway) -> None:
    for _ in range(3):
        assert call(gateway, "tightest").status_code == 429
    line = gateway.log_line(call(gateway, "tightest").headers["x-request-id"])
    assert "reservation_id" not in line["reservation"]
    assert spend(gateway, Slot("team", "tightest"), "key:tightest") == (0, 0)


# Exactly so many


def test_of_many_calls_at_once_exactly_as_many_pass_as_the_limit_says(gateway: Gateway) -> None:
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: call(gateway, "concurrent"), range(20)))
    assert sorted(answer.status_code for answer in answers) == [200] * 7 + [429] * 13
    assert len(gateway.received()) == 7


def test_calls_at_once_never_reserve_more_money_than_there_is(gateway: Gateway) -> None:
    with ThreadPoolExecutor(12) as pool:
        answers = list(
            pool.map(
                lambda _: call(gateway, "concurrent-money", simulate="delay_ms=1500"), range(12)
            )
        )
    passed = [answer for answer in answers if answer.status_code == 200]
    refused = {answer.json()["error"]["code"] for answer in answers if answer not in passed}
    assert len(passed) == 4
    assert refused == {"budget_reserved"}


# What the client is told


def test_an_answer_says_what_is_left_as_openai_says_it(gateway: Gateway) -> None:
    headers = call(gateway, "headers").headers
    assert headers["x-ratelimit-limit-requests"] == "5"
    assert headers["x-ratelimit-remaining-requests"] == "4"
    assert headers["x-ratelimit-limit-tokens"] == "1000"
    assert headers["x-ratelimit-remaining-tokens"] == str(1000 - RESERVED_TOKENS - 1)
    for name in ("x-ratelimit-reset-requests", "x-ratelimit-reset-tokens"):
        assert re.fullmatch(r"(1m)?[0-9.]+m?s", headers[name])


def test_a_refused_rate_says_when_to_come_back(gateway: Gateway) -> None:
    for _ in range(3):
        answer = call(gateway, "key-requests")
    assert answer.status_code == 429
    assert 1 <= int(answer.headers["retry-after"]) <= 61
    assert answer.headers["x-ratelimit-remaining-requests"] == "0"
    assert "x-should-retry" not in answer.headers


def test_a_spent_budget_is_not_to_be_retried(gateway: Gateway) -> None:
    answer = call(gateway, "tightest")
    for _ in range(20):
        answer = call(gateway, "team-spend")
        if answer.status_code == 429:
            break
        settled(gateway, answer)
    assert answer.headers["x-should-retry"] == "false"
    assert "retry-after" not in answer.headers
    assert answer.json()["error"]["type"] == "insufficient_quota"


def test_a_call_that_can_never_fit_is_not_to_be_retried(gateway: Gateway) -> None:
    answer = call(gateway, "too-long")
    assert answer.json()["error"]["code"] == "rate_limit_tokens"
    assert answer.headers["x-should-retry"] == "false"
    assert "Send a shorter prompt" in answer.json()["error"]["message"]


# Reserved, and settled


def test_money_held_by_a_running_call_is_free_again_when_it_ends(gateway: Gateway) -> None:
    stalled = {"model": "small", "stream": True, "messages": [{"role": "user", "content": "x"}]}
    headers = {
        "authorization": f"Bearer {test_key('stalled')}",
        "x-simulate": "stall=mid_stream",
    }
    with gateway.http.stream("POST", CHAT, json=stalled, headers=headers) as stream:
        assert stream.status_code == 200
        chunks = stream.iter_bytes()  # kept: a closed iterator closes the stream
        next(chunks)
        refused = call(gateway, "stalled")
        assert refused.json()["error"]["code"] == "budget_reserved"
        assert refused.headers["retry-after"] == "1"
    wait_for(lambda: call(gateway, "stalled").status_code == 200, "the end of the stream")


def test_tokens_that_were_reserved_and_not_taken_come_back(gateway: Gateway) -> None:
    first = call(gateway, "returned")
    settled(gateway, first)
    second = call(gateway, "returned")
    reserved = 1000 - remaining_tokens(first)
    assert reserved > 100
    assert remaining_tokens(second) == 1000 - TAKEN_TOKENS - reserved


def test_an_aborted_stream_is_charged_what_passed_and_no_more(gateway: Gateway) -> None:
    body = {"model": "small", "stream": True, "messages": [{"role": "user", "content": "x"}]}
    headers = {
        "authorization": f"Bearer {test_key('aborted')}",
        "x-simulate": "stall=mid_stream",
    }
    with gateway.http.stream("POST", CHAT, json=body, headers=headers) as stream:
        request_id = stream.headers["x-request-id"]
        chunks = stream.iter_bytes()  # kept: a closed iterator closes the stream
        next(chunks)
    line = gateway.settled(request_id)
    assert line["usage"]["usage_source"] == "estimated"
    assert line["usage"]["output_tokens"] > 0
    charged, held = spend(gateway, Slot("team", "aborted"), "key:aborted")
    assert 0 < charged < RESERVED_NANO
    assert held == 0
    assert charged == _cost(line)
    taken = line["usage"]["input_tokens"] + line["usage"]["output_tokens"]
    after = call(gateway, "aborted")
    assert remaining_tokens(after) == 1000 - taken - _reserved_tokens(gateway, after)


@pytest.mark.parametrize("fault", ["status=500", "status=429", "html_error=502", "status=401"])
def test_a_call_that_the_provider_failed_costs_nothing(gateway: Gateway, fault: str) -> None:
    line = settled(gateway, call(gateway, "failed", simulate=fault))
    assert line["usage"]["usage_source"] == "none"
    assert spend(gateway, Slot("team", "failed"), "key:failed") == (0, 0)


def test_the_ledger_the_metrics_and_the_provider_agree_on_what_was_spent(gateway: Gateway) -> None:
    faults = ["", "completion_tokens=50", "cached_tokens=4", "reasoning_tokens=7"]
    answers = [call(gateway, "batch", simulate=fault or None) for fault in faults]
    for fault in faults:
        answers.append(call(gateway, "batch", stream=True, simulate=fault or None))
    assert {answer.status_code for answer in answers} == {200}
    lines = [settled(gateway, answer) for answer in answers]
    [billed] = gateway.bill()["by_model"].values()
    price = Price(input=2_500_000_000, output=10_000_000_000, cached_input=1_250_000_000)
    usage = Usage(billed["prompt_tokens"], billed["completion_tokens"], billed["cached_tokens"])
    expected = price.cost(usage)
    assert expected == sum(map(_cost, lines))
    for scope in ("key:batch", "project:main", "team"):
        assert spend(gateway, Slot("team", "batch"), scope) == (expected, 0)
    metric = gateway.metric("ratelimit_service", "tollhouse_cost_usd_total", team="batch")
    assert metric == pytest.approx(expected / 1e9)


def _cost(line: dict[str, Any]) -> int:
    usage = line["usage"]
    tokens = (usage["input_tokens"], usage["output_tokens"], usage.get("cached_input_tokens", 0))
    return Price.from_labels(line["price"]).cost(Usage(*map(int, tokens)))


def _reserved_tokens(gateway: Gateway, answer: httpx.Response) -> int:
    reservation = gateway.log_line(answer.headers["x-request-id"])["reservation"]
    return int(reservation["input_tokens"] + reservation["output_tokens"])
