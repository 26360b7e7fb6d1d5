"""A service's own gRPC handlers, called without gRPC: bytes in, bytes out."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from bench.guard.work import done

Handler = Callable[[bytes], bytes]


class _Registered:
    """What a server is told by a service that registers its methods."""

    def __init__(self) -> None:
        self.handlers: list[Any] = []

    def add_generic_rpc_handlers(self, handlers: Any) -> None:
        self.handlers += handlers

    def add_registered_method_handlers(self, service: str, handlers: Any) -> None:
        """The same methods once more."""


def handler_of(register: Callable[[Any], object], method: str) -> Handler:
    """One method with its own way to read a request and to write an answer.

    Raises StopIteration if `register` registers no such method.
    """
    server = _Registered()
    register(server)
    details = SimpleNamespace(method=method, invocation_metadata=())
    found = next(each for one in server.handlers if (each := one.service(details)))
    read = found.request_deserializer or bytes
    write = found.response_serializer or bytes

    def handle(request: bytes) -> bytes:
        answer: bytes = write(done(found.unary_unary(read(request), None)))
        return answer

    return handle
