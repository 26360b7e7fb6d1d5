"""An alias with several deployments: shares, fallbacks, cooldowns, and what each call costs."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.support.e2e_policy import key
from tests.support.gateway import Gateway, running, test_key, wait_for

PROVIDERS = """\
providers:
  first: {dialect: openai, base_url: https://first.test/v1, api_key: "${FIRST_KEY}"}
  second:
    dialect: openai
    base_url: https://second.test/openai/v1
    api_key: ${SECOND_KEY}
    auth_header: api-key
  third: {dialect: openai, base_url: https://third.test/v1, api_key: "${THIRD_KEY}"}
  claude: {dialect: anthropic, base_url: https://claude.test/v1, api_key: "${CLAUDE_KEY}"}
"""
CHEAP = "{input_per_million: 1, output_per_million: 2}"
DEAR = "{input_per_million: 10, output_per_million: 20}"
MODELS = f"""\
models:
  pair:
    deployments:
      - {{provider: first, model: model-a, price: {CHEAP}}}
      - {{provider: second, model: model-b, order: 2, price: {DEAR}}}
    fallback_after_seconds: 1
    max_output_tokens: 100
  shared:
    deployments:
      - {{provider: first, model: model-a, weight: 3}}
      - {{provider: second, model: model-b, weight: 1}}
    price: {CHEAP}
  either-dialect:
    endpoints: [chat/completions, messages]
    deployments:
      - {{provider: first, model: model-a}}
      - {{provider: claude, model: claude-native}}
    price: {CHEAP}
  alone: {{provider: first, model: model-a, price: {CHEAP}}}
  with-other: {{provider: first, model: model-a, fallbacks: [other], price: {CHEAP}}}
  other: {{provider: third, model: model-c, price: {DEAR}}}
  with-limited: {{provider: first, model: model-a, fallbacks: [limited], price: {CHEAP}}}
  limited:
    provider: third
    model: model-c
    limits: {{requests_per_minute: 1000}}
    price: {CHEAP}
"""
TEAM = f"""\
team: web
projects:
  site:
    allowed_models: ["*"]
    keys:
{key("app")}\
{key("without-other", "  denied_models: [other]")}\
{key("poor", "  limits: {monthly_spend_usd: 0.005}")}"""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    directory = tmp_path_factory.mktemp("fallback")
    policies = directory / "policies"
    (policies / "teams").mkdir(parents=True)
    for name, text in {
        "org.yaml": "org: acme\n",
        "providers.yaml": PROVIDERS,
        "models.yaml": MODELS,
        "teams/web.yaml": TEAM,
    }.items():
        (policies / name).write_text(text)
    with running(policies, directory / "run") as one:
        yield one
        assert one.leaks() == []


def ask(gateway: Gateway, model: str, key_name: str = "app", **fields: Any) -> httpx.Response:
    return gateway.chat(key_name, model=model, **fields)


def line_of(gateway: Gateway, answer: httpx.Response) -> dict[str, Any]:
    return gateway.settled(answer.headers["x-request-id"])


def tried(line: dict[str, Any]) -> list[tuple[str, str | None]]:
    return [(each["provider"], each.get("status")) for each in line["tried"]]


def cooled(gateway: Gateway, provider: str) -> None:
    """Waits until Envoy asks this provider again, as it does after its cooldown."""
    wait_for(
        lambda: gateway.metric("envoy", "envoy_cluster_outlier_detection_ejections_active",
                               envoy_cluster_name=f"provider_{provider}_pool") == 0,
        f"the end of {provider}'s cooldown",
        30,
    )  # fmt: skip


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 529])
def test_a_refusal_or_fault_of_the_first_is_answered_by_the_second(
    gateway: Gateway, status: int
) -> None:
    cooled(gateway, "first")
    with gateway.fault(f"status={status}", "first"):
        answer = ask(gateway, "pair")
    line = line_of(gateway, answer)
    assert (answer.status_code, answer.json()["model"]) == (200, "pair")
    assert tried(line) == [("first", str(status)), ("second", "200")]
    assert (line["provider"], line["provider_model"], line["attempts"]) == ("second", "model-b", 2)


def test_the_cost_is_that_of_the_deployment_that_answered(gateway: Gateway) -> None:
    cooled(gateway, "first")
    spent = gateway.metric("ratelimit_service", "tollhouse_cost_usd_total", alias="pair")
    cheap = line_of(gateway, ask(gateway, "pair"))
    with gateway.fault("status=503", "first"):
        dear = line_of(gateway, ask(gateway, "pair"))
    assert (cheap["price"]["input_per_million"], dear["price"]["input_per_million"]) == ("1", "10")
    usage = cheap["usage"]
    once = (usage["input_tokens"] * 1 + usage["output_tokens"] * 2) / 1e6
    now = gateway.metric("ratelimit_service", "tollhouse_cost_usd_total", alias="pair")
    assert now - spent == pytest.approx(once * 11, abs=1e-12)


def test_a_request_that_is_wrong_itself_is_not_tried_elsewhere(gateway: Gateway) -> None:
    cooled(gateway, "first")
    with gateway.fault("status=400", "first"):
        answer = ask(gateway, "pair")
    assert answer.status_code == 400
    assert tried(line_of(gateway, answer)) == [("first", "400")]


def test_when_all_fail_the_last_failure_is_the_answer(gateway: Gateway) -> None:
    cooled(gateway, "first")
    with gateway.fault("status=429"):
        answer = ask(gateway, "pair")
    assert answer.status_code == 429
    assert tried(line_of(gateway, answer)) == [("first", "429"), ("second", "429")]
    assert "model-b" not in answer.text


def test_silence_before_the_answer_falls_back_and_is_charged_as_what_it_may_cost(
    gateway: Gateway,
) -> None:
    cooled(gateway, "first")
    with gateway.fault("stall=before_headers", "first"):
        answer = ask(gateway, "pair")
    line = line_of(gateway, answer)
    assert answer.status_code == 200
    assert tried(line) == [("first", None), ("second", "200")]
    silent = line["tried"][0]["silent"]
    assert silent["usage"]["usage_source"] == "estimated"
    assert silent["usage"]["output_tokens"] == 100  # it may have made all that it was allowed to


def test_a_body_of_megabytes_falls_back_byte_for_byte(gateway: Gateway) -> None:
    cooled(gateway, "first")
    gateway.forget()
    text = "x" * 3_000_000
    with gateway.fault("status=503", "first"):
        answer = ask(gateway, "pair", messages=[{"role": "user", "content": text}])
    assert answer.status_code == 200
    assert tried(line_of(gateway, answer)) == [("first", "503"), ("second", "200")]
    first, second = gateway.received()
    assert (json.loads(first.body)["model"], json.loads(second.body)["model"]) == (
        "model-a",
        "model-b",
    )
    assert first.body.replace(b"model-a", b"") == second.body.replace(b"model-b", b"")


def test_a_stream_that_has_begun_is_not_begun_again(gateway: Gateway) -> None:
    cooled(gateway, "first")
    with gateway.fault("completion_tokens=3,token_delay_ms=700", "first"):
        answer = ask(gateway, "pair", stream=True)
    assert answer.status_code == 200
    assert "[DONE]" in answer.text
    assert tried(line_of(gateway, answer)) == [("first", "200")]


def test_an_alias_with_one_deployment_gets_its_own_error(gateway: Gateway) -> None:
    with gateway.fault("status=429", "first"):
        answers = [ask(gateway, "alone") for _ in range(8)]
    assert {answer.status_code for answer in answers} == {429}


def test_the_alias_of_a_fallback_is_authorised_too(gateway: Gateway) -> None:
    cooled(gateway, "first")
    with gateway.fault("status=503", "first"):
        allowed, denied = ask(gateway, "with-other"), ask(gateway, "with-other", "without-other")
    assert (allowed.status_code, denied.status_code) == (200, 503)
    line = line_of(gateway, allowed)
    assert (line["alias"], line["provider_model"]) == ("with-other", "model-c")
    assert allowed.json()["model"] == "with-other"
    assert tried(line_of(gateway, denied)) == [("first", "503")]


def test_a_fallback_with_limits_of_its_own_is_not_a_way_around_them(gateway: Gateway) -> None:
    cooled(gateway, "first")
    with gateway.fault("status=503", "first"):
        answer = ask(gateway, "with-limited")
    assert answer.status_code == 503
    assert tried(line_of(gateway, answer)) == [("first", "503")]


def test_the_dearest_deployment_is_what_a_hard_budget_reserves(gateway: Gateway) -> None:
    # 0.005 USD hold one call of `pair` at the dear price (some 0.003 USD), not two.
    with gateway.fault("delay_ms=1500", "first"):
        answers = asyncio.run(many(gateway, "pair", 3, "poor"))
    assert sorted(answer.status_code for answer in answers) == [200, 429, 429]


def test_deployments_of_one_order_take_their_shares(gateway: Gateway) -> None:
    cooled(gateway, "first")
    answers = asyncio.run(many(gateway, "shared", 200))
    asked = Counter(
        gateway.log_line(answer.headers["x-request-id"])["provider"] for answer in answers
    )
    print(f"200 calls at weights 3 and 1: {dict(asked)}")
    # Six standard deviations of a fair draw.
    assert 113 <= asked["first"] <= 187


def test_each_endpoint_goes_to_the_deployment_that_speaks_its_dialect(gateway: Gateway) -> None:
    body = {
        "model": "either-dialect",
        "max_tokens": 9,
        "messages": [{"role": "user", "content": "x"}],
    }
    chat = ask(gateway, "either-dialect")
    messages = gateway.post("/v1/messages", body, "app")
    assert (chat.status_code, messages.status_code) == (200, 200)
    assert line_of(gateway, chat)["provider"] == "first"
    assert line_of(gateway, messages)["provider"] == "claude"


async def many(gateway: Gateway, model: str, count: int, name: str = "app") -> list[httpx.Response]:
    body = {"model": model, "messages": [{"role": "user", "content": "Say hello"}]}
    headers = {"authorization": f"Bearer {test_key(name)}"}
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(
        base_url=gateway.endpoint, timeout=60, limits=limits, trust_env=False
    ) as client:
        calls = [
            client.post("/v1/chat/completions", json=body, headers=headers) for _ in range(count)
        ]
        return await asyncio.gather(*calls)


def test_sixty_calls_at_once_are_answered_while_the_first_refuses_all(gateway: Gateway) -> None:
    cooled(gateway, "first")
    gateway.forget()
    with gateway.fault("status=429", "first"):
        answers = asyncio.run(many(gateway, "pair", 60))
        first, second = (
            sum(f"/{name}/" in each.path for each in gateway.received())
            for name in ("first", "second")
        )
        ejected = gateway.metric(
            "envoy",
            "envoy_cluster_outlier_detection_ejections_enforced_total",
            envoy_cluster_name="provider_first_pool",
        )
        gateway.forget()
        cooling = asyncio.run(many(gateway, "pair", 20))
        again = sum("/first/" in each.path for each in gateway.received())
    statuses = Counter(answer.status_code for answer in [*answers, *cooling])
    leaks = gateway.leaks()
    print(
        f"60 at once, the first at 429: {statuses}; asked {first} and {second} times; "
        f"{ejected:.0f} cooldowns; 20 more: the first asked {again} times; {len(leaks)} leaks"
    )
    assert statuses == {200: 80}
    assert second == 60
    assert ejected >= 1
    assert again == 0
    assert leaks == []
    assert all(each.provider_key_ok for each in gateway.received())
