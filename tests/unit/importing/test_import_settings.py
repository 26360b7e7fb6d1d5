"""What becomes of a LiteLLM config beside its models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.litellm import MODELS, imported


def test_without_settings_the_org_has_no_limits(tmp_path: Path) -> None:
    result = imported(tmp_path)
    assert result.read("org.yaml") == {"org": "default", "time_zone": "UTC"}
    assert result.not_carried == []


@pytest.mark.parametrize(
    ("settings", "org"),
    [
        (
            "litellm_settings: {max_budget: 100, budget_duration: 30d}",
            {"limits": {"monthly_spend_usd": 100}},
        ),
        (
            "general_settings: {global_max_parallel_requests: 40}",
            {"limits": {"max_parallel_requests": 40}},
        ),
        ("litellm_settings: {timezone: Europe/Berlin}", {"time_zone": "Europe/Berlin"}),
    ],
)
def test_what_holds_for_the_whole_proxy_holds_for_the_org(
    tmp_path: Path, settings: str, org: dict[str, Any]
) -> None:
    result = imported(tmp_path, f"{MODELS}{settings}\n")
    assert result.read("org.yaml") == {"org": "default", "time_zone": "UTC", **org}
    assert result.not_carried == []


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("general_settings: {master_key: sk-1234}", "general_settings.master_key: no key may do"),
        ("general_settings: {database_url: x}", "general_settings.database_url: there is no data"),
        ("general_settings: {store_model_in_db: true}", "general_settings.store_model_in_db: mod"),
        ("general_settings: {alerting: [slack]}", "general_settings.alerting: budgets and spikes"),
        ("general_settings: {custom_auth: a.b}", "general_settings.custom_auth: callers sign in"),
        ("litellm_settings: {cache: true}", "litellm_settings.cache: answers are not cached"),
        ("litellm_settings: {callbacks: [otel]}", "litellm_settings.callbacks: nothing is sent to"),
        ("litellm_settings: {drop_params: true}", "litellm_settings.drop_params: parameters reach"),
        ("litellm_settings: {timezone: Mars}", "litellm_settings.timezone: not an IANA time zone"),
        ("litellm_settings: {max_budget: 9}", "the budget of the whole proxy (9 USD without"),
        ("litellm_settings: {unheard_of: 1}", "litellm_settings.unheard_of: nothing here is like"),
        ("router_settings: {routing_strategy: x}", "router_settings.routing_strategy: calls are"),
        ("router_settings: {provider_budget_config: {a: 1}}", "router_settings.provider_budget_"),
        ("router_settings: {redis_host: h}", "router_settings.redis_host: the ledger's Redis is"),
        ("guardrails: [{guardrail_name: x}]", "guardrails: guardrails have no equal"),
        ("environment_variables: {A: b}", "environment_variables: a policy sets no variables"),
        ("mcp_servers: {a: {url: b}}", "mcp_servers: MCP servers are not served here"),
        ("unheard_of: [1]", "unheard_of: nothing here is like it"),
    ],
)
def test_a_setting_without_equal_is_said(tmp_path: Path, settings: str, said: str) -> None:
    [note] = imported(tmp_path, f"{MODELS}{settings}\n").not_carried
    assert note.startswith(said)


def test_what_is_switched_off_is_not_mentioned(tmp_path: Path) -> None:
    off = "litellm_settings: {cache: false, callbacks: [], drop_params: null}\n"
    assert imported(tmp_path, MODELS + off).not_carried == []
