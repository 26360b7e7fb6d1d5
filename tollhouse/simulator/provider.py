"""The provider's endpoints behind one ASGI application."""

from __future__ import annotations

import asyncio
import hmac
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.types import Receive, Scope, Send

from tollhouse.simulator import chat, chat_answer, directives, embeddings, errors, wire
from tollhouse.simulator.books import Books, Exchange, Record
from tollhouse.simulator.connection import ClientGone, Connection
from tollhouse.simulator.directives import PLAIN, Directives
from tollhouse.simulator.errors import ApiError
from tollhouse.simulator.headers import provider_headers
from tollhouse.simulator.reply import EVENTS, HTML, Charge, Header, Reply
from tollhouse.simulator.settings import DEFAULT_MODELS, Settings

_BEARER = b"bearer "
_MODELS_CREATED = 1_715_367_049


@dataclass(slots=True)
class _Progress:
    """How far one answer has come: tokens generated, and whether it was written to its end."""

    tokens: int = 0
    completed: bool = False


class Provider:
    """Checks the key, applies directives, answers, and keeps the books."""

    def __init__(self, settings: Settings, books: Books) -> None:
        self._keys = tuple(key.encode() for key in settings.keys)
        self._base_path = settings.base_path
        self._models = settings.models
        self._books = books
        self._endpoints: dict[str, tuple[str, Callable[[bytes, Directives], Reply]]] = {
            f"{settings.base_path}/chat/completions": ("POST", self._chat),
            f"{settings.base_path}/embeddings": ("POST", self._embeddings),
            f"{settings.base_path}/models": ("GET", self._list_models),
        }

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
        query = scope["query_string"].decode("latin-1")
        record = Record(scope["method"], path, query, scope["headers"], body)
        self._books.recorder.add(record)
        exchange = Exchange(time.time(), _user_agent(record.headers))
        self._books.exchanges.add(exchange)
        asked, reply = self._answer(record)
        progress = _Progress()
        try:
            await _deliver(connection, reply, asked, progress, started)
        finally:
            self._settle(record, exchange, reply.charge, progress)

    def _settle(
        self, record: Record, exchange: Exchange, charge: Charge | None, progress: _Progress
    ) -> None:
        record.completed = exchange.completed = progress.completed
        if charge is None:
            return
        self._books.bill.add(charge, progress.tokens)
        record.usage = {
            "prompt_tokens": charge.usage.prompt,
            "cached_tokens": charge.usage.cached,
            "completion_tokens": progress.tokens,
        }
        exchange.model, exchange.prompt_tokens = charge.model, charge.usage.prompt
        exchange.cached_tokens = charge.usage.cached
        exchange.completion_tokens = progress.tokens

    def _answer(self, request: Record) -> tuple[Directives, Reply]:
        asked = PLAIN
        try:
            self._check_key(request.headers)
            request.provider_key_ok = True
            asked = self._directives(request.headers)
            return asked, self._reply(request, asked)
        except ApiError as error:
            after = (b"retry-after", b"%d" % (asked.retry_after or 0))
            headers = () if asked.retry_after is None else (after,)
            return asked, Reply(error.body(), status=error.status, headers=headers)

    def _check_key(self, headers: list[Header]) -> None:
        given = _given_key(headers)
        if given is None:
            raise errors.missing_key()
        # Every key is compared in full, so that the time taken tells nothing about any of them.
        matches = [hmac.compare_digest(given, key) for key in self._keys]
        if not any(matches):
            raise errors.incorrect_key(given.decode("utf-8", "replace"))

    def _directives(self, headers: list[Header]) -> Directives:
        values = [value.decode("latin-1") for name, value in headers if name == b"x-simulate"]
        if not values:
            return self._books.fault.take()
        try:
            return directives.parse(",".join(values))
        except directives.DirectiveError as error:
            raise ApiError(400, str(error), param="x-simulate") from None

    def _reply(self, request: Record, asked: Directives) -> Reply:
        if asked.html_error is not None:
            return Reply(errors.html_page(asked.html_error), HTML, asked.html_error)
        if asked.status is not None:
            raise errors.on_demand(asked.status)
        reply = self._endpoint(request.method, request.path)(request.body, asked)
        return wire.garbled(reply, asked.garbage) if asked.garbage else reply

    def _endpoint(self, method: str, path: str) -> Callable[[bytes, Directives], Reply]:
        models = f"{self._base_path}/models/"
        if path.startswith(models) and path != models:
            expected, endpoint = "GET", self._one_model(path.removeprefix(models))
        elif path in self._endpoints:
            expected, endpoint = self._endpoints[path]
        else:
            raise errors.unknown_url(method, path)
        if method != expected:
            raise errors.wrong_method(method, path)
        return endpoint

    def _chat(self, body: bytes, asked: Directives) -> Reply:
        request = chat.read(body)
        self._check_model(request.model)
        completion = chat.complete(request, asked)
        charge = Charge(request.model, completion.usage)
        if request.stream:
            return Reply(chat_answer.events(completion, asked), EVENTS, charge=charge)
        return Reply(chat_answer.body(completion, asked), charge=charge)

    def _embeddings(self, body: bytes, asked: Directives) -> Reply:
        request = embeddings.read(body)
        self._check_model(request.model)
        charge = Charge(request.model, request.usage)
        return Reply(embeddings.body(request, asked), charge=charge)

    def _list_models(self, _body: bytes, _asked: Directives) -> Reply:
        names = DEFAULT_MODELS if self._models is None else self._models
        return _json({"object": "list", "data": [_model(name) for name in names]})

    def _one_model(self, name: str) -> Callable[[bytes, Directives], Reply]:
        def endpoint(_body: bytes, _asked: Directives) -> Reply:
            self._check_model(name)
            return _json(_model(name))

        return endpoint

    def _check_model(self, name: str) -> None:
        if self._models is not None and name not in self._models:
            raise errors.model_not_found(name)


async def _deliver(
    connection: Connection, reply: Reply, asked: Directives, progress: _Progress, started: float
) -> None:
    if asked.stall == "before_headers":
        await connection.hold()
    if asked.delay_ms:
        await connection.pause(asked.delay_ms / 1000)
    headers, pieces = wire.encode(reply, asked)
    elapsed = asyncio.get_running_loop().time() - started
    await connection.start(reply.status, provider_headers(int(elapsed * 1000)) + headers)
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


def _user_agent(headers: list[Header]) -> str:
    return next((text for name, text in headers if name == b"user-agent"), b"").decode("latin-1")


def _json(answer: dict[str, Any]) -> Reply:
    return Reply(json.dumps(answer, indent=2).encode() + b"\n")


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": _MODELS_CREATED, "owned_by": "system"}


def _given_key(headers: list[Header]) -> bytes | None:
    """The key of a request: a bearer token as with OpenAI, or `api-key` as with Azure OpenAI."""
    for name, value in headers:
        if name == b"authorization":
            bearer = value[: len(_BEARER)].lower() == _BEARER
            return value[len(_BEARER) :].strip() if bearer else None
    return next((value.strip() for name, value in headers if name == b"api-key"), None)
