"""A gRPC server on grpcio's core that runs in the event loop, without threads of its own.

grpcio's asyncio server has a thread that waits for the core and wakes the loop for each thing that
happens: seven switches between threads a call, and four fifths of its cost. Here the loop itself
waits for the core's epoll instance, which is a descriptor like any other, and then takes what is
complete from the completion queue: docs/decisions/0021. The classes are those of grpcio's threaded
server (`grpc._server`); what they mean is told in grpc/grpc.h.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import grpc
from grpc._cython import cygrpc

from tollhouse.rpc import core
from tollhouse.rpc.calls import (
    AsyncUnary,
    ClientStream,
    Method,
    ServerStream,
    Unary,
    client_stream,
    refuse,
    server_stream,
    unary,
    unary_async,
)

log = logging.getLogger("tollhouse.rpc")

# So many things that are complete, and the loop's other work has its turn.
_AT_ONCE = 64
# The core handles one event of its epoll instance each time it is asked, and has fetched several at
# once: an answer of "nothing" may have been one that completes nothing, a window update say.
_NOTHING_IN_A_ROW = 3
# What another thread of the core completes makes no descriptor readable: the first call behind a
# handshake, now and then, and what a timer ends.
_LOOKED_AT_EVERY_SECONDS = 0.02
# Where the system does not tell which descriptor it is, nothing does (gVisor, macOS).
_POLLED_EVERY_SECONDS = 0.001
_PAST = 0.0  # a deadline: asks, and does not wait


class Server:
    """Methods by their paths (`/package.Service/Method`), messages as bytes. Not thread-safe."""

    def __init__(self, options: Sequence[tuple[str, int]] = ()) -> None:
        self._queue = cygrpc.CompletionQueue()
        self._server = cygrpc.Server(tuple(options), False)
        self._server.register_completion_queue(self._queue)
        self._methods: dict[bytes, Method] = {}
        self._sockets: set[int] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_stopping = False

    def unary(self, path: str, handler: Unary) -> None:
        """A message, answered at once."""
        self._methods[path.encode()] = unary(handler)

    def unary_async(self, path: str, handler: AsyncUnary) -> None:
        """A message, answered later; the handler is cancelled when the client gives up."""
        self._methods[path.encode()] = unary_async(handler, self._run)

    def client_stream(self, path: str, handler: ClientStream) -> None:
        """Messages that are taken one by one; the answer is an empty message."""
        self._methods[path.encode()] = client_stream(handler)

    def server_stream(self, path: str, handler: ServerStream) -> None:
        """A message, answered by any number of them until the client gives up."""
        self._methods[path.encode()] = server_stream(handler, self._run)

    def listen(self, address: str, credentials: grpc.ServerCredentials | None = None) -> None:
        """Take `unix:/path` or `host:port`. Raises OSError if it cannot be had."""
        with_tls = (credentials._credentials,) if credentials else ()
        before = core.open_sockets()
        if not self._server.add_http2_port(address.encode(), *with_tls):
            raise OSError("the address cannot be used: the reason is in gRPC's log line above")
        self._sockets |= core.open_sockets() - before

    def start(self) -> None:
        """Serve, in the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._server.start()
        self._epoll = core.epoll_of(self._sockets)
        self._look_seconds = _LOOKED_AT_EVERY_SECONDS
        if self._epoll is None:
            log.warning("it cannot be seen where gRPC's core waits: calls take a millisecond more")
            self._look_seconds = _POLLED_EVERY_SECONDS
        else:
            self._loop.add_reader(self._epoll, self._drain)
        self._server.request_call(self._queue, self._queue, self._begin)
        self._look()

    async def stop(self, grace_seconds: float) -> None:
        """Take no more calls; those that are under way have so long until they are cancelled."""
        ended = self._loop.create_future()
        self._is_stopping = True
        self._server.shutdown(self._queue, lambda _: ended.set_result(None))
        self._loop.call_soon(self._drain)
        if not (await asyncio.wait([ended], timeout=grace_seconds))[0]:
            self._server.cancel_all_calls()
            await ended
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._timer.cancel()
        if self._epoll is not None:
            self._loop.remove_reader(self._epoll)
        self._server.destroy()

    def _begin(self, event: Any) -> None:
        if self._is_stopping or not event.success:
            return
        self._server.request_call(self._queue, self._queue, self._begin)
        method = self._methods.get(event.call_details.method)
        if method is None:
            refuse(event.call, grpc.StatusCode.UNIMPLEMENTED, "there is no such method")
        else:
            method(event.call)

    def _run(self, coroutine: Any) -> asyncio.Task[None]:
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _drain(self) -> None:
        """Do what has to be done: the tag of each event is what does it."""
        nothing = 0
        for _ in range(_AT_ONCE):
            event = self._queue.poll(_PAST)
            if event.completion_type == cygrpc.CompletionType.operation_complete:
                event.tag(event)
                nothing = 0
            else:
                nothing += 1
                if nothing == _NOTHING_IN_A_ROW:
                    return
        self._loop.call_soon(self._drain)

    def _look(self) -> None:
        self._timer = self._loop.call_later(self._look_seconds, self._look)
        self._drain()
