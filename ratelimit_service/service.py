"""The gRPC methods that Envoy's ratelimit filter and its access logger call."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator

import grpc
from envoy.data.accesslog.v3.accesslog_pb2 import HTTPAccessLogEntry
from envoy.service.accesslog.v3.als_pb2 import StreamAccessLogsMessage
from envoy.service.ratelimit.v3.rls_pb2 import RateLimitRequest

from ratelimit_service import entries, transport
from ratelimit_service.admission import Admission, Limited, NotCounted
from ratelimit_service.metrics import Metrics
from ratelimit_service.refusals import RefusalCounter
from ratelimit_service.settlement import Entry, RefusedEntry, UnansweredEntry
from ratelimit_service.settler import Settler
from tollhouse.rpc.calls import CallFailed
from tollhouse.rpc.server import Server

log = logging.getLogger("ratelimit_service")

_SHOULD_RATE_LIMIT = "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit"
_STREAM_ACCESS_LOGS = "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs"


class RateLimitService:
    """Admission. An error is a gRPC error: Envoy then refuses with 503 ledger_unavailable."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission

    async def admit(self, message: bytes) -> bytes:
        """A RateLimitResponse for a RateLimitRequest, both serialized."""
        try:
            call = transport.call_from(RateLimitRequest.FromString(message))
            outcome = await self._admission.admit(call)
        except transport.MalformedRequest as error:
            log.error("Envoy and this service do not fit together: %s", error)
            raise CallFailed(grpc.StatusCode.INVALID_ARGUMENT, str(error)) from None
        except NotCounted as error:
            log.warning("call refused, because it could not be counted: %s", error)
            raise CallFailed(grpc.StatusCode.UNAVAILABLE, str(error)) from None
        if isinstance(outcome, Limited):
            return transport.limited(outcome)
        return transport.admitted(outcome)

    def register(self, server: Server) -> None:
        server.unary_async(_SHOULD_RATE_LIMIT, self.admit)


class AccessLogService:
    """Settlement. Envoy streams an entry for every request, aborted ones included."""

    def __init__(self, settler: Settler, refusals: RefusalCounter, metrics: Metrics) -> None:
        self._settler = settler
        self._refusals = refusals
        self._metrics = metrics

    def take(self, message: bytes) -> None:
        """The entries of a serialized StreamAccessLogsMessage."""
        logged = StreamAccessLogsMessage.FromString(message).http_logs.log_entry
        ended: list[Entry | UnansweredEntry] = []
        self._time(logged)
        for entry in _entries(logged):
            if isinstance(entry, RefusedEntry):
                self._refusals.take(entry)
            else:
                ended.append(entry)
        self._settler.take(ended)

    def register(self, server: Server) -> None:
        server.client_stream(_STREAM_ACCESS_LOGS, self.take)

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
    server: Server,
    admission: Admission,
    settler: Settler,
    refusals: RefusalCounter,
    metrics: Metrics,
) -> None:
    RateLimitService(admission).register(server)
    AccessLogService(settler, refusals, metrics).register(server)
