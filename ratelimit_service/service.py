"""The gRPC methods that Envoy's ratelimit filter and its access logger call."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterable, Iterator

import grpc
from envoy.data.accesslog.v3.accesslog_pb2 import HTTPAccessLogEntry
from envoy.service.accesslog.v3.als_pb2 import StreamAccessLogsMessage, StreamAccessLogsResponse
from envoy.service.accesslog.v3.als_pb2_grpc import (
    AccessLogServiceServicer,
    add_AccessLogServiceServicer_to_server,
)
from envoy.service.ratelimit.v3.rls_pb2 import RateLimitRequest

from ratelimit_service import entries, transport
from ratelimit_service.admission import Admission, Limited, NotCounted
from ratelimit_service.metrics import Metrics
from ratelimit_service.refusals import RefusalCounter
from ratelimit_service.settlement import Entry, RefusedEntry, UnansweredEntry
from ratelimit_service.settler import Settler

log = logging.getLogger("ratelimit_service")

_RATE_LIMITS = "envoy.service.ratelimit.v3.RateLimitService"


class RateLimitService:
    """Admission. An error is a gRPC error: Envoy then refuses with 503 ledger_unavailable."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission

    async def admit(self, request: RateLimitRequest, context: grpc.aio.ServicerContext) -> bytes:
        """The answer is already serialized."""
        try:
            outcome = await self._admission.admit(transport.call_from(request))
        except transport.MalformedRequest as error:
            log.error("Envoy and this service do not fit together: %s", error)
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except NotCounted as error:
            log.warning("call refused, because it could not be counted: %s", error)
            await context.abort(grpc.StatusCode.UNAVAILABLE, str(error))
        if isinstance(outcome, Limited):
            return transport.limited(outcome)
        return transport.admitted(outcome)

    def register(self, server: grpc.aio.Server) -> None:
        # By hand rather than by the generated servicer: its serializer would take a message.
        handler = grpc.unary_unary_rpc_method_handler(
            self.admit, request_deserializer=RateLimitRequest.FromString
        )
        server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler(_RATE_LIMITS, {"ShouldRateLimit": handler})]
        )


class AccessLogService(AccessLogServiceServicer):  # type: ignore[misc]
    """Settlement. Envoy streams an entry for every request, aborted ones included."""

    def __init__(self, settler: Settler, refusals: RefusalCounter, metrics: Metrics) -> None:
        self._settler = settler
        self._refusals = refusals
        self._metrics = metrics

    async def StreamAccessLogs(
        self,
        request_iterator: AsyncIterator[StreamAccessLogsMessage],
        context: grpc.aio.ServicerContext,
    ) -> StreamAccessLogsResponse:
        async for message in request_iterator:
            ended: list[Entry | UnansweredEntry] = []
            self._time(message.http_logs.log_entry)
            for entry in _entries(message.http_logs.log_entry):
                if isinstance(entry, RefusedEntry):
                    self._refusals.take(entry)
                else:
                    ended.append(entry)
            self._settler.take(ended)
        return StreamAccessLogsResponse()

    def _time(self, logged: Iterable[HTTPAccessLogEntry]) -> None:
        for one in logged:
            if first := entries.first_byte_of(one):
                timed = self._metrics.first_byte_seconds[first.provider, first.alias]
                timed.observe(first.seconds)


def _entries(
    logged: Iterator[HTTPAccessLogEntry],
) -> Iterator[Entry | RefusedEntry | UnansweredEntry]:
    for one in logged:
        try:
            entry = entries.entry_from(one)
        except (KeyError, ValueError) as error:
            # One entry that cannot be read must not end the stream that carries the others.
            log.error("an access-log entry cannot be settled: %s", type(error).__name__)
            continue
        if entry is not None:
            yield entry


def register(
    server: grpc.aio.Server,
    admission: Admission,
    settler: Settler,
    refusals: RefusalCounter,
    metrics: Metrics,
) -> None:
    RateLimitService(admission).register(server)
    add_AccessLogServiceServicer_to_server(AccessLogService(settler, refusals, metrics), server)
