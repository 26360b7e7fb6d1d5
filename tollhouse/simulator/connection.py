"""One exchange with one client: reading, writing, waiting, leaving without a word."""

from __future__ import annotations

import asyncio

from starlette.types import Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tollhouse.simulator.reply import Header

_EXTENSION = "tollhouse.close"


class ClientGone(Exception):
    """The client closed the connection."""


class ClosableProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 server, letting an application close the TCP connection under a response.

    ASGI has no message for that, and names `extensions` as the place for what it lacks.
    """

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {_EXTENSION: {"call": self.transport.close}}


class Connection:
    """The ASGI channel of one request, under `ClosableProtocol`.

    A client that leaves is noticed by whatever waits, from the first `pause` on.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._departure: asyncio.Future[Message] | None = None

    async def read_body(self) -> bytes:
        """The request's body.

        Raises:
            ClientGone: before its end.
        """
        chunks: list[bytes] = []
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            chunks.append(message["body"])
            more = message["more_body"]
        return b"".join(chunks)

    async def start(self, status: int, headers: list[Header]) -> None:
        """Send the status line and headers."""
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def write(self, data: bytes, *, last: bool) -> None:
        """Send some of the body, waiting while the client reads too slowly."""
        await self._send({"type": "http.response.body", "body": data, "more_body": not last})

    async def pause(self, seconds: float) -> None:
        """Wait; 0 lets what was written leave, and the event loop look at other connections.

        Raises:
            ClientGone: as soon as it is so.
        """
        departure = self._watch()
        if seconds:
            await asyncio.wait((departure,), timeout=seconds)
        else:
            await asyncio.sleep(0)
        if departure.done():
            raise ClientGone

    async def hold(self) -> None:
        """Say nothing until the client leaves.

        Raises:
            ClientGone: always.
        """
        await self._watch()
        raise ClientGone

    async def drop(self) -> None:
        """Close the TCP connection once what was written has left, the response unfinished."""
        self._scope["extensions"][_EXTENSION]["call"]()
        # uvicorn would report a response that ends early; not one whose client is gone.
        await self._watch()

    def release(self) -> None:
        """Stop watching; the exchange is over."""
        if self._departure is not None:
            self._departure.cancel()

    def _watch(self) -> asyncio.Future[Message]:
        # Once the body is read, the next message can only be that the client has left.
        if self._departure is None:
            self._departure = asyncio.ensure_future(self._receive())
        return self._departure
