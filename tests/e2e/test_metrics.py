"""What both services tell Prometheus and a load balancer."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import urljoin

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.support.gateway import Gateway, wait_for
from tollhouse.local.sockets import socket_path
from tollhouse.policy.compiler import load_snapshot

AUTHZ, RATELIMIT = "authz_service", "ratelimit_service"
SERVICES = (AUTHZ, RATELIMIT)
ADMITTED = {"team": "web", "alias": "chat-other"}


def page(gateway: Gateway, service: str, path: str) -> httpx.Response:
    return httpx.get(urljoin(gateway.up["metrics"][service], path), trust_env=False)


def grpc_health(gateway: Gateway, service: str) -> str:
    path = socket_path(gateway.run_dir.resolve(), service.removesuffix("_service"))
    with grpc.insecure_channel(f"unix:{path}") as channel:
        answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))


@pytest.mark.parametrize("service", SERVICES)
def test_a_healthy_service_says_so_over_http_and_grpc(gateway: Gateway, service: str) -> None:
    assert page(gateway, service, "/readyz").json() == {"ready": True, "problems": {}}
    assert page(gateway, service, "/readyz").status_code == 200
    assert page(gateway, service, "/livez").status_code == 200
    assert grpc_health(gateway, service) == "SERVING"
    assert gateway.http.get("/healthz").status_code == 200


@pytest.mark.parametrize("service", SERVICES)
def test_the_policy_in_force_is_shown(gateway: Gateway, service: str) -> None:
    version = load_snapshot(gateway.run_dir.parent / "policies").version
    assert gateway.metric(service, "tollhouse_policy_info", version=version) == 1
    assert gateway.metric(service, "tollhouse_policy_reloads_total", result="success") >= 1
    assert gateway.metric(service, "tollhouse_policy_reloads_total", result="failure") == 0
    assert gateway.metric(service, "tollhouse_policy_last_reload_success_timestamp_seconds") > 0
    assert gateway.metric(service, "tollhouse_policy_stale") == 0


@pytest.mark.parametrize("service", SERVICES)
def test_the_clock_of_a_service_is_shown(gateway: Gateway, service: str) -> None:
    before = time.time()
    assert before <= gateway.metric(service, "tollhouse_time_seconds") <= time.time()


def counted(gateway: Gateway, service: str, name: str, **labels: str) -> Any:
    """A function that tells by how much a metric has grown since now."""
    before = gateway.metric(service, name, **labels)
    return lambda: gateway.metric(service, name, **labels) - before


def test_decisions_are_counted_by_code_team_and_alias(gateway: Gateway) -> None:
    name = "tollhouse_authz_decisions_total"
    allowed = counted(gateway, AUTHZ, name, decision="allowed", **ADMITTED)
    refused = counted(
        gateway, AUTHZ, name, decision="model_not_allowed", team="web", alias="secret-model"
    )
    strangers = counted(gateway, AUTHZ, name, decision="invalid_api_key", team="", alias="")
    took = counted(gateway, AUTHZ, "tollhouse_authz_duration_seconds_count")
    for _ in range(2):
        gateway.chat("app", model="chat-other")
        gateway.chat("app", model="secret-model")
        gateway.chat("nobody", model="chat-other")
    assert (allowed(), refused(), strangers(), took()) == (2, 2, 2, 6)


def test_a_name_that_only_a_client_knows_makes_no_label(gateway: Gateway) -> None:
    gateway.chat("app", model="made-up-by-a-client")
    for service in SERVICES:
        assert "made-up-by-a-client" not in page(gateway, service, "/metrics").text


def test_admissions_and_refusals_are_counted_by_code_team_and_alias(gateway: Gateway) -> None:
    name = "tollhouse_admissions_total"
    allowed = counted(gateway, RATELIMIT, name, decision="allowed", **ADMITTED)
    broke = counted(gateway, RATELIMIT, name, decision="budget_exceeded", team="web", alias="chat")
    took = counted(gateway, RATELIMIT, "tollhouse_admission_duration_seconds_count")
    gateway.chat("app", model="chat-other")
    gateway.chat("broke")
    gateway.chat("nobody")
    assert (allowed(), broke(), took()) == (1, 1, 2)


def test_tokens_and_cost_are_counted_when_a_call_is_settled(gateway: Gateway) -> None:
    tokens = "gen_ai_client_token_usage_total"
    kinds = ("input", "output", "input_cached")
    grown = [counted(gateway, RATELIMIT, tokens, gen_ai_token_type=k, **ADMITTED) for k in kinds]
    cost = counted(gateway, RATELIMIT, "tollhouse_cost_usd_total", **ADMITTED)
    settled = counted(gateway, RATELIMIT, "tollhouse_settlement_duration_seconds_count")
    answer = gateway.chat("app", {"x-simulate": "cached_tokens=4"}, model="chat-other")
    gateway.settled(answer.headers["x-request-id"])
    assert [one() for one in grown] == [10, 12, 4]
    assert cost() == pytest.approx((6 * 2.5 + 4 * 1.25 + 12 * 10) / 1e6)
    assert settled() >= 1


def test_the_first_byte_of_a_provider_is_timed_and_a_refusal_has_none(gateway: Gateway) -> None:
    name = "tollhouse_first_byte_seconds"
    labels = {"provider": "other", "alias": "chat-other"}
    answered = counted(gateway, RATELIMIT, f"{name}_count", **labels)
    quick = counted(gateway, RATELIMIT, f"{name}_bucket", le="0.1", **labels)
    for directives in ("delay_ms=200", "status=500"):
        answer = gateway.chat("app", {"x-simulate": directives}, model="chat-other")
    gateway.chat("blocked", model="chat-other")
    gateway.settled(answer.headers["x-request-id"])
    assert answered() == 2
    assert quick() <= 1


def test_settlements_are_counted_by_where_usage_was_learned(gateway: Gateway) -> None:
    name = "tollhouse_settlements_total"
    sources = ("reported", "estimated", "none")
    grown = [counted(gateway, RATELIMIT, name, usage_source=source) for source in sources]
    for directives in ("merge=1", "no_usage", "status=500"):
        answer = gateway.chat("app", {"x-simulate": directives})
        gateway.settled(answer.headers["x-request-id"])
    assert [one() for one in grown] == [1, 1, 1]
    assert gateway.metric(RATELIMIT, "tollhouse_settlements_waiting") == 0


def test_a_gateway_without_its_store_is_not_ready_until_it_is_back(
    breakable_gateway: Gateway,
) -> None:
    gateway = breakable_gateway
    errors = counted(gateway, RATELIMIT, "tollhouse_redis_errors_total", operation="ping")
    with gateway.frozen("redis"):
        wait_for(lambda: gateway.http.get("/healthz").status_code == 503, "a 503 of /healthz")
        unready = page(gateway, RATELIMIT, "/readyz")
        assert unready.status_code == 503
        assert unready.json()["ready"] is False
        assert "redis" in unready.json()["problems"]
        assert grpc_health(gateway, RATELIMIT) == "NOT_SERVING"
        assert page(gateway, RATELIMIT, "/livez").status_code == 200
        assert page(gateway, AUTHZ, "/readyz").status_code == 200
        assert grpc_health(gateway, AUTHZ) == "SERVING"
        assert gateway.metric(RATELIMIT, "tollhouse_ledger_degraded") == 1
        assert errors() >= 1
    assert gateway.http.get("/healthz").status_code == 200
    assert page(gateway, RATELIMIT, "/readyz").status_code == 200
    assert grpc_health(gateway, RATELIMIT) == "SERVING"
    assert gateway.metric(RATELIMIT, "tollhouse_ledger_degraded") == 0


@pytest.mark.parametrize("service", SERVICES)
def test_a_gateway_whose_service_hangs_is_not_healthy(
    breakable_gateway: Gateway, service: str
) -> None:
    with breakable_gateway.frozen(service):
        wait_for(
            lambda: breakable_gateway.http.get("/healthz").status_code == 503, "a 503 of /healthz"
        )
    assert breakable_gateway.http.get("/healthz").status_code == 200
