"""One provider: its keys, its quirk, its answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tollhouse.simulator import dialects, directives, wire
from tollhouse.simulator.books import Faults
from tollhouse.simulator.books.records import Record
from tollhouse.simulator.call import Call, Handler
from tollhouse.simulator.dialects import Dialect
from tollhouse.simulator.directives import PLAIN, Directives
from tollhouse.simulator.errors import ApiError, html_page
from tollhouse.simulator.keys import given_key, is_one_of
from tollhouse.simulator.openai import errors
from tollhouse.simulator.quirks import QUIRKS
from tollhouse.simulator.reply import HTML, Header, Reply, as_json
from tollhouse.simulator.settings import DEFAULT_MODELS, ProviderSettings
from tollhouse.simulator.store import Store

# Since its API version 2026-10-21 Anthropic's SDKs send the key as a bearer token:
# platform.claude.com/docs/en/api/migration-2026-10-21
_ANTHROPIC_KEY = ("x-api-key", "authorization")


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply, the directives it is delivered by, and the provider's headers (given how many
    milliseconds it took)."""

    reply: Reply
    asked: Directives
    headers: Callable[[int], list[Header]]


class Site:
    """Checks the key, applies directives, and answers."""

    def __init__(
        self, settings: ProviderSettings, models: tuple[str, ...] | None, faults: Faults
    ) -> None:
        self.name = settings.name
        self._base_path = settings.base_path
        self._keys = tuple(key.encode() for key in settings.keys)
        self._quirk = QUIRKS[settings.quirk]
        self._models = models
        self._faults = faults
        self._store = Store()

    def holds(self, path: str) -> bool:
        """Whether a path is below the base path."""
        return path.startswith(f"{self._base_path}/")

    def answer(self, request: Record) -> Answer:
        """Answer a request, noting whether its key is right."""
        path = request.path.removeprefix(f"{self._base_path}/")
        dialect = dialects.of(path if self.holds(request.path) else "", self._quirk)
        asked = PLAIN
        try:
            self._check_key(request.headers, dialect)
            request.provider_key_ok = True
            asked = self._directives(request.headers)
            reply = self._reply(request, path, asked, dialect)
        except ApiError as error:
            reply = self._refusal(error, asked, dialect)
        return Answer(reply, self._quirk.ask(asked), self._headers(dialect))

    def _headers(self, dialect: Dialect) -> Callable[[int], list[Header]]:
        own = self._quirk.headers
        if own is None or dialect is dialects.ANTHROPIC:
            return dialect.headers
        return lambda _processing_ms: list(own)

    def _refusal(self, error: ApiError, asked: Directives, dialect: Dialect) -> Reply:
        shape = self._quirk.error if dialect is dialects.OPENAI else dialect.shape
        body = as_json(shape(error) if error.body is None else error.body)
        after = (b"retry-after", b"%d" % (asked.retry_after or 0))
        headers = () if asked.retry_after is None else (after,)
        return Reply(body, status=error.status, headers=headers)

    def _check_key(self, headers: list[Header], dialect: Dialect) -> None:
        names = self._quirk.key_headers
        if not names:
            return
        given = given_key(headers, names if dialect is dialects.OPENAI else _ANTHROPIC_KEY)
        if given is None:
            raise dialect.missing_key()
        if not is_one_of(given, self._keys):
            raise dialect.incorrect_key(given.decode("utf-8", "replace"))

    def _directives(self, headers: list[Header]) -> Directives:
        values = [value.decode("latin-1") for name, value in headers if name == b"x-simulate"]
        if not values:
            return self._faults.take(self.name)
        try:
            return directives.parse(",".join(values))
        except directives.DirectiveError as error:
            raise ApiError(400, str(error), param="x-simulate") from None

    def _reply(self, request: Record, path: str, asked: Directives, dialect: Dialect) -> Reply:
        if asked.html_error is not None:
            return Reply(html_page(asked.html_error), HTML, asked.html_error)
        if asked.status is not None:
            raise dialect.on_demand(asked.status)
        handler, names = self._endpoint(request.method, request.path, path, dialect)
        self._quirk.refuse(path, request.body)
        call = Call(
            body=request.body,
            headers=request.headers,
            asked=self._quirk.ask(asked),
            names=names,
            store=self._store,
            quirk=self._quirk,
            check_model=self._check_model,
            models=DEFAULT_MODELS if self._models is None else self._models,
        )
        reply = self._quirk.reply(path, handler(call), counted=not asked.no_usage)
        return wire.garbled(reply, asked.garbage) if asked.garbage else reply

    def _endpoint(
        self, method: str, whole: str, path: str, dialect: Dialect
    ) -> tuple[Handler, Mapping[str, str]]:
        known = False
        for endpoint in dialect.endpoints if self.holds(whole) else ():
            if found := endpoint.pattern.match(f"/{path}"):
                if endpoint.method == method:
                    return endpoint.handler, found.groupdict()
                known = True
        if known:
            raise dialect.wrong_method(method, whole)
        unknown = dialect is dialects.ANTHROPIC
        raise dialect.on_demand(404) if unknown else errors.unknown_url(method, whole)

    def _check_model(self, name: str) -> None:
        if self._models is not None and name not in self._models:
            raise errors.model_not_found(name)
