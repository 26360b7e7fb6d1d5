"""Environments, rules in shadow, files of keys and replaced keys, through the real Envoy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.support import e2e_policy
from tests.support.gateway import Gateway, running, test_key
from tollhouse.keys import sha256_hex

ORG = e2e_policy.ORG + "environments:\n  prod: {}\n  staging: {denied_models: [chat-other]}\n"
KEYS = {
    "web-prod": "  env: prod",
    "web-prod-2": "  env: prod",
    "web-staging": "  env: staging",
    "web-staging-2": "  env: staging",
    "web-watched": "  env: prod\n  shadow: {denied_models: [chat-other]}",
    "web-rotated": "  env: prod\n  limits: {requests_per_minute: 2}\n  previous: "
    f"[{{sha256: {sha256_hex(test_key('web-before'))}, valid_until: 2999-01-01}}, "
    f"{{sha256: {sha256_hex(test_key('web-long-before'))}, valid_until: 2020-01-01}}]",
}
WEB = f"""\
team: web
owner: web-leads@acme.test
environments:
  staging: {{limits: {{requests_per_minute: 3}}}}
projects:
  site:
    allowed_models: ["group:chat"]
    keys:
{"".join(e2e_policy.key(name, lines) for name, lines in KEYS.items())}"""
MORE = f"""\
team: web
project: site
keys:
{e2e_policy.key("web-more", "  env: prod")}"""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    root = tmp_path_factory.mktemp("rules")
    models = e2e_policy.MODELS + "groups:\n  chat: [chat, chat-other]\n"
    policies = e2e_policy.write(
        root / "policies", org=ORG, models=models, teams__web=WEB, keys__more=MORE
    )
    with running(policies, root / "run") as gateway:
        yield gateway


def line_of(gateway: Gateway, answer: httpx.Response) -> dict[str, Any]:
    return gateway.log_line(answer.headers["x-request-id"])


def test_an_environment_s_limit_counts_all_its_keys_and_no_other_s(gateway: Gateway):
    staging = ("web-staging", "web-staging-2", "web-staging", "web-staging-2")
    answers = [gateway.chat(name) for name in staging]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    message = answers[-1].json()["error"]["message"]
    assert message.startswith(
        "Rate limit reached: environment staging of team web may make 3 requests per minute"
    )
    assert [gateway.chat("web-prod").status_code for _ in range(4)] == [200] * 4


def test_an_environment_narrows_what_its_keys_may_call(gateway: Gateway):
    refused = gateway.chat("web-staging", model="chat-other")
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "model_not_allowed")
    assert "the environment 'staging' of the org 'acme' denies it" in refused.text
    assert gateway.chat("web-prod-2", model="chat-other").status_code == 200


def test_a_rule_in_shadow_is_in_the_log_and_refuses_nothing(gateway: Gateway):
    answers = [gateway.chat("web-watched", model=name) for name in ("chat-other", "chat")]
    assert [answer.status_code for answer in answers] == [200, 200]
    lines = [line_of(gateway, answer) for answer in answers]
    assert [line.get("would_deny") for line in lines] == ["the key 'web-watched' would", None]


def test_a_key_from_a_file_of_keys_is_one_of_its_project_s(gateway: Gateway):
    line = line_of(gateway, gateway.chat("web-more"))
    assert (line["key_id"], line["team"], line["project"]) == ("web-more", "web", "site")


def test_a_replaced_key_shares_identity_and_limit_with_its_successor(gateway: Gateway):
    old, new = gateway.chat("web-before"), gateway.chat("web-rotated")
    assert (old.status_code, new.status_code) == (200, 200)
    assert gateway.chat("web-before").status_code == gateway.chat("web-rotated").status_code == 429
    lines = [line_of(gateway, answer) for answer in (old, new)]
    assert [line["key_id"] for line in lines] == ["web-rotated", "web-rotated"]
    assert [line.get("credential") for line in lines] == ["previous", None]


def test_a_replaced_key_whose_time_is_over_says_so(gateway: Gateway):
    refused = gateway.chat("web-long-before")
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "key_expired")
    assert "web-leads@acme.test has it" in refused.text
