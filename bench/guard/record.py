"""`python -m bench.guard.record`: what Envoy really asks and tells, of one small chat call.

Writes messages/ anew, from a whole gateway with the policy in policies/. Do it when what Envoy
sends changes: actions of the rate limit, metadata, the access log.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import grpc
from envoy.service.accesslog.v3.als_pb2 import StreamAccessLogsMessage
from envoy.service.auth.v3.external_auth_pb2 import CheckRequest
from envoy.service.ratelimit.v3.rls_pb2 import RateLimitRequest
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message

from bench.guard.recorded import ALIAS, FOLDER, KEY_NAME, POLICIES
from tests.support.gateway import Gateway, running, test_key
from tollhouse.local.sockets import socket_path

_CHECK, _LIMIT, _LOGS = "Check", "ShouldRateLimit", "StreamAccessLogs"


class Recorder(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Stands before a service, hands everything through, and keeps the first message of each
    method."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel
        self.seen: dict[str, bytes] = {}

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        """The handler of any method."""
        name = details.method.rpartition("/")[2]
        if name == _LOGS:
            return grpc.stream_unary_rpc_method_handler(self._passing(details.method, name))
        return grpc.unary_unary_rpc_method_handler(self._asking(details.method, name))

    def _asking(self, method: str, name: str) -> Callable[[bytes, object], Awaitable[bytes]]:
        async def ask(request: bytes, _context: object) -> bytes:
            self.seen.setdefault(name, request)
            answer: bytes = await self._channel.unary_unary(method)(request)
            return answer

        return ask

    def _passing(
        self, method: str, name: str
    ) -> Callable[[AsyncIterator[bytes], object], Awaitable[bytes]]:
        async def kept(messages: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
            async for message in messages:
                self.seen.setdefault(name, message)
                yield message

        async def take(messages: AsyncIterator[bytes], _context: object) -> bytes:
            answer: bytes = await self._channel.stream_unary(method)(kept(messages))
            return answer

        return take


async def _stand_before(socket: Path) -> tuple[Recorder, grpc.aio.Server]:
    """Envoy connects at its first call: it finds the recorder where the service was."""
    moved = await asyncio.to_thread(socket.rename, socket.with_suffix(".moved"))
    recorder = Recorder(grpc.aio.insecure_channel(f"unix:{moved}"))
    server = grpc.aio.server(handlers=[recorder])
    server.add_insecure_port(f"unix:{socket}")
    await server.start()
    return recorder, server


def _call(gateway: Gateway) -> None:
    messages = [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": "What is the capital of France?"},
    ]
    body = {"model": ALIAS, "messages": messages, "max_tokens": 100}
    gateway.post("/v1/chat/completions", body, KEY_NAME).raise_for_status()


async def _recorded(gateway: Gateway) -> dict[str, bytes]:
    sockets = (socket_path(gateway.run_dir.resolve(), name) for name in ("authz", "ratelimit"))
    stands = [await _stand_before(socket) for socket in sockets]
    await asyncio.to_thread(_call, gateway)
    await asyncio.to_thread(gateway.wait_settled, 1)  # Envoy has told of its end
    for _, server in stands:
        await server.stop(None)
    return {name: seen for recorder, _ in stands for name, seen in recorder.seen.items()}


def _write(name: str, message: Message) -> None:
    text = MessageToJson(message, indent=1, sort_keys=True, preserving_proto_field_name=True)
    (FOLDER / f"{name}.json").write_text(text.replace(test_key(KEY_NAME), "KEY") + "\n")


def main() -> None:
    """Runs a gateway, and writes what was seen."""
    with (
        tempfile.TemporaryDirectory(prefix="tollhouse-guard-") as folder,
        running(POLICIES, Path(folder) / "run") as gateway,
    ):
        seen = asyncio.run(_recorded(gateway))
    _write("check", CheckRequest.FromString(seen[_CHECK]))
    _write("rate_limit", RateLimitRequest.FromString(seen[_LIMIT]))
    logged = StreamAccessLogsMessage.FromString(seen[_LOGS])
    _write("access_log", logged.http_logs.log_entry[0])


if __name__ == "__main__":
    main()
