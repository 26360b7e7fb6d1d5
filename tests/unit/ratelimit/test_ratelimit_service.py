"""ratelimit_service.service over a real gRPC server on a unix socket, asked as Envoy asks."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from envoy.data.accesslog.v3.accesslog_pb2 import HTTPAccessLogEntry
from envoy.service.accesslog.v3.als_pb2 import StreamAccessLogsMessage
from envoy.service.accesslog.v3.als_pb2_grpc import AccessLogServiceStub
from envoy.service.ratelimit.v3.rls_pb2 import RateLimitResponse
from envoy.service.ratelimit.v3.rls_pb2_grpc import RateLimitServiceStub
from google.protobuf.json_format import MessageToDict
from prometheus_client import CollectorRegistry

from ratelimit_service.admission import Admission
from ratelimit_service.ledger.ids import new_reservation_id
from ratelimit_service.ledger.ledger import Ledger
from ratelimit_service.metrics import Metrics
from ratelimit_service.refusals import RefusalCounter
from ratelimit_service.replica import Replica
from ratelimit_service.service import register
from ratelimit_service.settler import Settler, running
from tests.ledger.builders import FakeClock
from tests.support.redis import RedisProcess
from tests.unit.ratelimit.builders import (
    KEY_ID,
    PRICE_LABELS,
    REQUEST_ID,
    RESERVATION,
    logged,
    rate_limit_request,
    sample,
    team_spend,
    until,
    until_spend,
    write_policy,
)
from tollhouse.policy.source import PolicyDirectory
from tollhouse.policy.watch import PolicyHolder
from tollhouse.rpc.server import Server

FACTS = {
    "key_id": KEY_ID,
    "alias": "small",
    "policy_version": "1d945c01341c",
    "size": "endpoint=chat/completions;text_bytes=100",
    "request_id": REQUEST_ID,
}


@dataclass
class Served:
    """A whole service behind its socket, but for the hosting."""

    channel: grpc.aio.Channel
    registry: CollectorRegistry
    refusals: RefusalCounter

    async def ask(self, **changed: str) -> RateLimitResponse:
        request = rate_limit_request({**FACTS, **changed})
        stub = RateLimitServiceStub(self.channel)
        answer: RateLimitResponse = await stub.ShouldRateLimit(request, timeout=10)
        return answer

    async def refused(self, **changed: str) -> tuple[grpc.StatusCode, str]:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await self.ask(**changed)
        return caught.value.code(), caught.value.details()

    async def log(self, *entries: HTTPAccessLogEntry) -> None:
        """One stream with a message per entry, closed in good order."""
        stream = AccessLogServiceStub(self.channel).StreamAccessLogs(timeout=10)
        for one in entries:
            message = StreamAccessLogsMessage()
            message.http_logs.log_entry.append(one)
            await stream.write(message)
        await stream.done_writing()
        await stream

    def settled(self, outcome: str) -> float:
        labels = {"outcome": outcome, "usage_source": "reported"}
        return sample(self.registry, "tollhouse_settlements_total", **labels)


@asynccontextmanager
async def serving(policies: Path, ledger: Ledger, socket: Path) -> AsyncIterator[Served]:
    registry, holder = CollectorRegistry(), PolicyHolder(PolicyDirectory(policies))
    metrics = Metrics(registry)
    replica, refusals = Replica(), RefusalCounter(holder, ledger)
    settler = Settler(holder, ledger, metrics, replica)
    admission = Admission(holder, ledger, metrics, replica, lambda lost: settler.take([lost]))
    server = Server()
    register(server, admission, settler, refusals, metrics)
    server.listen(f"unix:{socket}")
    server.start()
    try:
        async with running(settler), grpc.aio.insecure_channel(f"unix:{socket}") as channel:
            yield Served(channel, registry, refusals)
    finally:
        await server.stop(0)


@pytest.fixture
async def served(tmp_path: Path, ledger: Ledger) -> AsyncIterator[Served]:
    policies = write_policy(tmp_path / "policies", key="requests_per_minute: 1")
    async with serving(policies, ledger, tmp_path / "rls.sock") as service:
        yield service


async def test_a_call_within_its_limits_is_ok_and_the_next_is_over_the_limit(
    served: Served,
) -> None:
    first, second = await served.ask(), await served.ask()
    assert first.overall_code == RateLimitResponse.OK
    assert second.overall_code == RateLimitResponse.OVER_LIMIT
    assert json.loads(second.raw_body)["error"]["code"] == "rate_limit_requests"


async def test_what_was_reserved_is_settled_by_the_entry_of_the_call(
    served: Served, ledger: Ledger, clock: FakeClock
) -> None:
    reservation = MessageToDict((await served.ask()).dynamic_metadata)
    assert await team_spend(ledger, clock) == (0, int(reservation["cost_nanousd"]))
    await served.log(logged(reservation=reservation))
    await until(lambda: served.settled("settled"), "the settlement")
    assert await team_spend(ledger, clock) == (800 * 150 + 200 * 75 + 500 * 600, 0)


async def test_an_entry_that_cannot_be_read_does_not_end_the_stream(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    unreadable = logged(price={**PRICE_LABELS, "input_per_million": "a secret"})
    fresh = {**RESERVATION, "reservation_id": new_reservation_id()}
    await served.log(unreadable, logged(reservation=None), logged(reservation=fresh))
    await until(lambda: served.settled("unknown"), "the settlement")
    assert [one.getMessage() for one in caplog.records] == [
        "an access-log entry cannot be settled: ValueError"
    ]


async def test_a_descriptor_that_cannot_be_read_is_an_error_that_says_what(served: Served) -> None:
    assert await served.refused(size="endpoint=chat/completions;n=one") == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "the size in the descriptor is malformed",
    )


async def test_a_key_of_another_policy_is_not_answered_for(served: Served) -> None:
    code, details = await served.refused(key_id="stranger")
    assert code is grpc.StatusCode.UNAVAILABLE
    assert details == "authz_service and ratelimit_service have different policies"


async def test_without_redis_under_deny_there_is_no_answer_and_later_nothing_is_held(
    tmp_path: Path, fragile: Ledger, redis_process: RedisProcess, clock: FakeClock
) -> None:
    policies = write_policy(tmp_path / "policies")
    async with serving(policies, fragile, tmp_path / "rls.sock") as service:
        redis_process.kill()
        code, details = await service.refused()
        assert code is grpc.StatusCode.UNAVAILABLE
        assert details.startswith("the store is unavailable (")
        redis_process.start()
        await until_spend(fragile, clock, (0, 0))
        waiting = "tollhouse_settlements_waiting"
        await until(lambda: sample(service.registry, waiting) == 0, "the release")
