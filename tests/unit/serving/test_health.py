"""What is said of a service's health, without a server."""

from __future__ import annotations

import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from tollhouse.rpc.calls import CallFailed
from tollhouse.serving.health import Health
from tollhouse.serving.readiness import Readiness

WHOLE = HealthCheckRequest().SerializeToString()


def status(health: Health) -> int:
    answer: HealthCheckResponse = HealthCheckResponse.FromString(health.check(WHOLE))
    return answer.status


async def test_a_service_that_stops_does_not_serve_again_though_what_it_lacked_comes_back() -> None:
    readiness = Readiness()
    readiness.problem("redis", "away")
    health = Health(readiness)
    health.stop()
    readiness.fine("redis")
    assert status(health) == HealthCheckResponse.NOT_SERVING


async def test_one_service_of_many_has_no_health_of_its_own() -> None:
    with pytest.raises(CallFailed, match="only the whole server has a health"):
        Health(Readiness()).check(HealthCheckRequest(service="other").SerializeToString())
