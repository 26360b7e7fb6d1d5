"""Calls of the server: what is done with each, from its beginning to its status.

A method begins a call by starting batches of operations, each with a tag: the server calls it with
the event when the batch is complete. A handler's CallFailed is the call's status; another exception
is logged, and the client is told no more than that.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

import grpc
from grpc._cython import cygrpc

log = logging.getLogger("tollhouse.rpc")

Unary = Callable[[bytes], bytes]
AsyncUnary = Callable[[bytes], Awaitable[bytes]]
ClientStream = Callable[[bytes], None]
ServerStream = Callable[[bytes], AsyncIterator[bytes]]
Method = Callable[[Any], None]
"""Begins a call, of grpcio's core."""
Run = Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"]

_NO_METADATA = ()
_NO_FLAGS = 0
_OK = grpc.StatusCode.OK.value[0]


class CallFailed(Exception):
    """The status of a call that is not answered; `details` are for the client."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        super().__init__(details)
        self.code = code
        self.details = details


def unary(handler: Unary) -> Method:
    """Answers in the turn of the loop in which the message is there."""

    def begin(call: Any) -> None:
        def answer(event: Any) -> None:
            message = _message(event)
            try:
                operations = _answered(handler(_expected(message)))
            except Exception as error:
                operations = _failed(error)
            call.start_server_batch((*operations, _receive_close()), _nothing)

        _receive(call, answer)

    return begin


def unary_async(handler: AsyncUnary, run: Run) -> Method:
    """Answers when the handler has; it is cancelled with the call."""

    async def serve(call: Any, message: bytes | None) -> None:
        try:
            operations = _answered(await handler(_expected(message)))
        except Exception as error:
            operations = _failed(error)
        call.start_server_batch(operations, _nothing)

    return lambda call: _begin_task(call, lambda message: run(serve(call, message)))


def server_stream(handler: ServerStream, run: Run) -> Method:
    """Sends what the handler yields; it is cancelled with the call."""

    async def serve(call: Any, message: bytes | None) -> None:
        try:
            await _batch(call, _headers())
            async for each in handler(_expected(message)):
                await _batch(call, _sent(each))
            operations = (_status(_OK, ""),)
        except Exception as error:
            operations = _failed(error)[1:]
        call.start_server_batch(operations, _nothing)

    return lambda call: _begin_task(call, lambda message: run(serve(call, message)))


def client_stream(handler: ClientStream) -> Method:
    """Takes the messages until the client ends; the next is read when one has been taken."""

    def begin(call: Any) -> None:
        def take(event: Any) -> None:
            message = _message(event)
            if message is None:
                call.start_server_batch(_answered(b""), _nothing)
                return
            try:
                handler(message)
            except Exception as error:
                call.start_server_batch(_failed(error), _nothing)
            else:
                _receive(call, take)

        call.start_server_batch((_receive_close(),), _nothing)
        _receive(call, take)

    return begin


def refuse(call: Any, code: grpc.StatusCode, details: str) -> None:
    """End a call that no handler has."""
    operations = (*_failed(CallFailed(code, details)), _receive_close())
    call.start_server_batch(operations, _nothing)


def _begin_task(call: Any, start: Callable[[bytes | None], asyncio.Task[None]]) -> None:
    started: list[asyncio.Task[None]] = []

    def close(event: Any) -> None:
        if event.batch_operations[0].cancelled():
            for task in started:
                task.cancel()

    call.start_server_batch((_receive_close(),), close)
    _receive(call, lambda event: started.append(start(_message(event))))


def _receive(call: Any, tag: Callable[[Any], None]) -> None:
    call.start_server_batch((cygrpc.ReceiveMessageOperation(_NO_FLAGS),), tag)


def _message(event: Any) -> bytes | None:
    """None: the client sends no more, or is gone."""
    message: bytes | None = event.batch_operations[0].message()
    return message


def _expected(message: bytes | None) -> bytes:
    if message is None:
        raise CallFailed(grpc.StatusCode.INTERNAL, "the call had no message")
    return message


async def _batch(call: Any, operation: Any) -> None:
    done = asyncio.Event()
    call.start_server_batch((operation,), lambda _: done.set())
    await done.wait()


def _answered(message: bytes) -> tuple[Any, ...]:
    return (_headers(), _sent(message), _status(_OK, ""))


def _failed(error: Exception) -> tuple[Any, ...]:
    if isinstance(error, CallFailed):
        return (_headers(), _status(error.code.value[0], error.details))
    log.error("a call failed", exc_info=error)
    return (_headers(), _status(grpc.StatusCode.UNKNOWN.value[0], "failed: see the service's log"))


def _headers() -> Any:
    return cygrpc.SendInitialMetadataOperation(_NO_METADATA, _NO_FLAGS)


def _sent(message: bytes) -> Any:
    return cygrpc.SendMessageOperation(message, _NO_FLAGS)


def _status(code: int, details: str) -> Any:
    return cygrpc.SendStatusFromServerOperation(_NO_METADATA, code, details.encode(), _NO_FLAGS)


def _receive_close() -> Any:
    return cygrpc.ReceiveCloseOnServerOperation(_NO_FLAGS)


def _nothing(_event: Any) -> None:
    """A batch that nobody waits for."""
