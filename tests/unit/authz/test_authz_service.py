"""authz_service.service over a real gRPC server on a unix socket, asked with Envoy's own stub."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from envoy.service.auth.v3.external_auth_pb2 import CheckResponse
from envoy.service.auth.v3.external_auth_pb2_grpc import AuthorizationStub
from google.rpc.code_pb2 import OK
from prometheus_client import CollectorRegistry

from authz_service.metrics import Metrics
from authz_service.service import AuthzService
from tests.unit.authz.builders import NOW, Sent, bearer, check_request, snapshot_of
from tollhouse import endpoints
from tollhouse.policy.compiled import Snapshot
from tollhouse.rpc.server import Server


@dataclass
class Running:
    """A service, the registry it counts in, and a way to ask it over gRPC."""

    service: AuthzService
    registry: CollectorRegistry
    stub: AuthorizationStub

    async def check(self, sent: Sent) -> CheckResponse:
        answer: CheckResponse = await self.stub.Check(check_request(sent), timeout=10)
        return answer

    def counted(self, decision: str, team: str, alias: str) -> float | None:
        labels = {"decision": decision, "team": team, "alias": alias}
        return self.registry.get_sample_value("tollhouse_authz_decisions_total", labels)


@asynccontextmanager
async def serving(snapshot: Snapshot, socket: Path) -> AsyncIterator[Running]:
    registry = CollectorRegistry()
    service = AuthzService(snapshot, Metrics(registry), clock=lambda: NOW)
    server = Server()
    service.register(server)
    server.listen(f"unix:{socket}")
    server.start()
    try:
        async with grpc.aio.insecure_channel(f"unix:{socket}") as channel:
            yield Running(service, registry, AuthorizationStub(channel))
    finally:
        await server.stop(0)


@pytest.fixture
async def running(snapshot: Snapshot, tmp_path: Path) -> AsyncIterator[Running]:
    async with serving(snapshot, tmp_path / "authz.sock") as service:
        yield service


async def test_a_good_call_is_granted_over_the_wire(running: Running, snapshot: Snapshot):
    response = await running.check(Sent())
    assert response.status.code == OK
    assert response.dynamic_metadata["policy_version"] == snapshot.version
    assert response.dynamic_metadata["key_id"] == "app"


async def test_a_stranger_is_denied_over_the_wire(running: Running):
    response = await running.check(Sent(headers={}))
    assert response.denied_response.status.code == 401


async def test_the_service_s_clock_decides_about_expiry(running: Running):
    expired = await running.check(Sent(headers={"authorization": bearer("expired")}))
    expiring = await running.check(Sent(headers={"authorization": bearer("expiring")}))
    assert expired.denied_response.status.code == 401
    assert expiring.status.code == OK


async def test_an_adopted_snapshot_decides_from_the_next_call_on(running: Running, tmp_path: Path):
    assert (await running.check(Sent())).status.code == OK
    blocked = """\
        team: web
        projects: {}
        """
    edited = snapshot_of(tmp_path / "edited", teams__web=blocked)
    running.service.adopt(edited)
    response = await running.check(Sent())
    assert response.denied_response.status.code == 401
    assert response.dynamic_metadata["policy_version"] == edited.version


async def test_decisions_are_counted_by_code_team_and_alias(running: Running):
    await running.check(Sent())
    await running.check(Sent())
    await running.check(Sent(headers={}))
    await running.check(Sent(path="/v1/models", method="GET"))
    await running.check(Sent(facts={"endpoint": endpoints.CHAT, "model": "secret"}))
    assert running.counted("allowed", "web", "small") == 2
    assert running.counted("invalid_api_key", "", "") == 1
    assert running.counted("allowed", "web", "") == 1
    assert running.counted("model_not_allowed", "web", "secret") == 1
    seconds = "tollhouse_authz_duration_seconds_count"
    assert running.registry.get_sample_value(seconds) == 5


async def test_a_model_that_a_client_made_up_never_becomes_a_label(running: Running):
    await running.check(Sent(facts={"endpoint": endpoints.CHAT, "model": "made-up"}))
    assert running.counted("model_not_found", "web", "") == 1
    labels = [s.labels for metric in running.registry.collect() for s in metric.samples]
    assert all("made-up" not in each.values() for each in labels)


async def test_what_a_rule_in_shadow_would_refuse_is_counted(running: Running):
    for model in ("large", "small"):
        facts = {"endpoint": endpoints.CHAT, "model": model}
        await running.check(Sent(headers={"authorization": bearer("watched")}, facts=facts))
    value = running.registry.get_sample_value
    assert value("tollhouse_authz_would_deny_total", {"team": "web", "alias": "large"}) == 1
    assert value("tollhouse_authz_would_deny_total", {"team": "web", "alias": "small"}) is None
