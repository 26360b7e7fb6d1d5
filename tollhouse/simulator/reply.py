"""What an endpoint answers, before it is put on the wire."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tollhouse.simulator.usage import Counts

JSON = b"application/json"
EVENTS = b"text/event-stream; charset=utf-8"
HTML = b"text/html; charset=UTF-8"
TEXT = b"text/plain; charset=utf-8"

Header = tuple[bytes, bytes]


class Part(NamedTuple):
    """Some bytes of a body and the output tokens that were generated for them.

    `content` marks the events of a stream that carry content.
    """

    data: bytes
    tokens: int = 0
    content: bool = False


@dataclass(frozen=True, slots=True)
class Charge:
    """Whom an answer is billed to, what a complete delivery of it costs, and at which tier."""

    model: str
    counts: Counts = field(default_factory=Counts)
    service_tier: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: one body of known length, or a stream of parts. Without a charge it is free.

    `contents`: how many parts of a stream carry content. `failure`: the event of an error in
    mid-stream, given how many parts were sent before it.
    """

    body: bytes | Iterable[Part]
    media_type: bytes = JSON
    status: int = 200
    headers: tuple[Header, ...] = ()
    charge: Charge | None = None
    contents: int = 0
    failure: Callable[[int], bytes] | None = None


def as_json(answer: Any) -> bytes:
    """A body as OpenAI indents it."""
    return json.dumps(answer, indent=2).encode() + b"\n"


def compact(answer: Any) -> str:
    """JSON as it stands in an event."""
    return json.dumps(answer, separators=(",", ":"))
