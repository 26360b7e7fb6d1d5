"""How one provider differs from api.openai.com."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tollhouse.simulator.directives import Directives
from tollhouse.simulator.errors import ApiError
from tollhouse.simulator.openai import errors
from tollhouse.simulator.reply import Header, Part, Reply, as_json, compact
from tollhouse.simulator.usage import Counts

_CHAT = ("chat/completions", "completions")
_DATA, _DONE, _END = b"data: ", b"data: [DONE]\n\n", b"\n\n"

Body = dict[str, Any]


def _accept(_endpoint: str, _body: Body) -> None:
    """Any request is fine."""


def _same(body: Body, _counts: Counts | None) -> Body:
    return body


def _alone(chunk: Body, _counts: Counts | None) -> list[Body]:
    return [chunk]


@dataclass(frozen=True, slots=True)
class Quirk:
    """One provider's ways; what is not given is as OpenAI has it.

    source: where they are documented or were reported.
    key_headers: where its key may stand; none for a provider that asks for no key.
    messages: it serves Anthropic's endpoints too.
    headers: its own response headers, in place of OpenAI's.
    always: directives that each request to it has, as by `x-simulate`.
    check: raises the error of a chat request that it refuses.
    answer: a chat's JSON body as it has it. chunk: a chunk of a chat's stream as none, one or more.
        Both are given the counts, a chunk's up to it, and None where usage is to be nowhere.
    before_stream, before_body: bytes that come first.
    error: the JSON of an error. rerank: whose shape its rerank answers have.
    """

    source: str
    key_headers: tuple[str, ...] = ("authorization",)
    messages: bool = False
    headers: tuple[Header, ...] | None = None
    always: Mapping[str, Any] = field(default_factory=dict)
    check: Callable[[str, Body], None] = _accept
    answer: Callable[[Body, Counts | None], Body] = _same
    chunk: Callable[[Body, Counts | None], list[Body]] = _alone
    before_stream: bytes = b""
    before_body: bytes = b""
    error: Callable[[ApiError], object] = errors.shape
    rerank: str = "cohere"

    def ask(self, asked: Directives) -> Directives:
        """The directives, with what the provider always does."""
        return replace(asked, **self.always) if self.always else asked

    def refuse(self, endpoint: str, body: bytes) -> None:
        """Look at a request before it is answered.

        Raises:
            ApiError: the provider does not take it.
        """
        if self.check is not _accept and endpoint in _CHAT and body.startswith(b"{"):
            self.check(endpoint, json.loads(body))

    def reply(self, endpoint: str, reply: Reply, *, counted: bool) -> Reply:
        """The provider's form of OpenAI's answer. Only chats differ."""
        untouched = self.answer is _same and self.chunk is _alone and not self.before_stream
        if endpoint not in _CHAT or reply.charge is None or untouched:
            return reply
        counts = reply.charge.counts if counted else None
        if isinstance(reply.body, bytes):
            body = self.answer(json.loads(reply.body), counts)
            return replace(reply, body=self.before_body + as_json(body))
        return replace(reply, body=self._events(reply.body, counts))

    def _events(self, parts: Iterable[Part], counts: Counts | None) -> Iterator[Part]:
        if self.before_stream:
            yield Part(self.before_stream)
        sent = 0
        for part in parts:
            if part.data == _DONE:
                yield part
                continue
            sent += part.tokens
            so_far = counts.until(sent) if counts else None
            chunk = json.loads(part.data.removeprefix(_DATA))
            events = [compact(each).encode() for each in self.chunk(chunk, so_far)]
            for event in events[:-1]:
                yield Part(_DATA + event + _END)
            if events:
                yield part._replace(data=_DATA + events[-1] + _END)
