"""gRPC's health checking protocol: https://github.com/grpc/grpc/blob/master/doc/health-checking.md."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from tollhouse.rpc.calls import CallFailed
from tollhouse.rpc.server import Server
from tollhouse.serving.readiness import Readiness

_SERVICE = "/grpc.health.v1.Health"
_WHOLE_SERVER = ""


class Health:
    """Serving while the service is ready. Made, and told of changes, in the event loop."""

    def __init__(self, readiness: Readiness) -> None:
        self._readiness = readiness
        self._is_serving = readiness.ready
        self._changed = asyncio.Event()
        readiness.on_change = self._change

    def register(self, server: Server) -> None:
        server.unary(f"{_SERVICE}/Check", self.check)
        server.server_stream(f"{_SERVICE}/Watch", self.watch)

    def stop(self) -> None:
        """Not serving, from now on, whatever becomes of readiness."""
        self._readiness.on_change = lambda ready: None
        self._change(False)

    def check(self, message: bytes) -> bytes:
        """Raises CallFailed for a service that is not the whole server."""
        if HealthCheckRequest.FromString(message).service != _WHOLE_SERVER:
            raise CallFailed(grpc.StatusCode.NOT_FOUND, "only the whole server has a health")
        return self._answer()

    async def watch(self, message: bytes) -> AsyncIterator[bytes]:
        """The answer of `check`, now and whenever it changes."""
        self.check(message)
        while True:
            changed = self._changed
            yield self._answer()
            await changed.wait()

    def _change(self, ready: bool) -> None:
        self._is_serving = ready
        self._changed.set()
        self._changed = asyncio.Event()

    def _answer(self) -> bytes:
        status = (
            HealthCheckResponse.SERVING if self._is_serving else HealthCheckResponse.NOT_SERVING
        )
        return bytes(HealthCheckResponse(status=status).SerializeToString())
