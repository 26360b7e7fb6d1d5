"""All providers behind one ASGI application: who is asked, what is remembered, how it is sent."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from starlette.types import Receive, Scope, Send

from tollhouse.simulator import wire
from tollhouse.simulator.books import Books
from tollhouse.simulator.books.bill import described
from tollhouse.simulator.books.records import Exchange, Record
from tollhouse.simulator.connection import ClientGone, Connection
from tollhouse.simulator.directives import PLAIN
from tollhouse.simulator.openai import errors, headers
from tollhouse.simulator.reply import Charge, Header, Reply, as_json
from tollhouse.simulator.settings import DEFAULT_PROVIDER
from tollhouse.simulator.site import Answer, Site


@dataclass(slots=True)
class _Progress:
    """How far one answer has come: tokens generated, and whether it was written to its end."""

    tokens: int = 0
    completed: bool = False


class Front:
    """Gives each request to its provider, and keeps the books."""

    def __init__(self, sites: list[Site], books: Books) -> None:
        self._sites = sites
        self._default = next((site for site in sites if site.name == DEFAULT_PROVIDER), None)
        self._books = books

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        connection = Connection(scope, receive, send)
        try:
            await self._serve(scope, connection)
        except ClientGone:
            pass  # Seen, billed and recorded; there is nobody left to answer.
        finally:
            connection.release()

    async def _serve(self, scope: Scope, connection: Connection) -> None:
        started = asyncio.get_running_loop().time()
        body = await connection.read_body()
        path = scope["path"]
        site = next((site for site in self._sites if site.holds(path)), self._default)
        query = scope["query_string"].decode("latin-1")
        name = site.name if site else None
        record = Record(scope["method"], path, query, scope["headers"], body, name)
        self._books.recorder.add(record)
        self._books.leaks.search(record)
        exchange = Exchange(time.time(), _user_agent(record.headers), name)
        self._books.exchanges.add(exchange)
        answer = site.answer(record) if site else _nobody(record)
        progress = _Progress()
        try:
            await _deliver(connection, answer, progress, started)
        finally:
            self._settle(record, exchange, answer.reply.charge, progress)

    def _settle(
        self, record: Record, exchange: Exchange, charge: Charge | None, progress: _Progress
    ) -> None:
        record.completed = exchange.completed = progress.completed
        if charge is None or record.provider is None:
            return
        counts = charge.counts.until(progress.tokens)
        self._books.bill.add(record.provider, charge, counts)
        record.usage = described(counts)
        exchange.charge(charge, counts)


def _nobody(request: Record) -> Answer:
    error = errors.unknown_url(request.method, request.path)
    reply = Reply(as_json(errors.shape(error)), status=error.status)
    return Answer(reply, PLAIN, headers.provider_headers)


async def _deliver(
    connection: Connection, answer: Answer, progress: _Progress, started: float
) -> None:
    asked = answer.asked
    if asked.stall == "before_headers":
        await connection.hold()
    if asked.delay_ms:
        await connection.pause(asked.delay_ms / 1000)
    described_body, pieces = wire.encode(answer.reply, asked)
    elapsed = asyncio.get_running_loop().time() - started
    head = answer.headers(int(elapsed * 1000)) + described_body
    await connection.start(answer.reply.status, head)
    piece = next(pieces, None)
    while piece is not None:
        following = next(pieces, None)
        progress.tokens += piece.tokens
        await connection.write(piece.data, last=following is None and not asked.cuts_body)
        if following is not None:
            await connection.pause(asked.token_delay_ms / 1000)
        piece = following
    if asked.stall == "mid_stream":
        await connection.hold()
    if asked.abort_after is not None:
        await connection.drop()
    progress.completed = not asked.cuts_body


def _user_agent(given: list[Header]) -> str:
    return next((text for name, text in given if name == b"user-agent"), b"").decode("latin-1")
