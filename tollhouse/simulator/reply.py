"""What an endpoint answers, before it is put on the wire."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from tollhouse.simulator.usage import Usage

JSON = b"application/json"
EVENTS = b"text/event-stream; charset=utf-8"
HTML = b"text/html; charset=UTF-8"

Header = tuple[bytes, bytes]


class Part(NamedTuple):
    """Some bytes of a body and the completion tokens that were generated for them.

    `content` marks the events of a stream that carry content.
    """

    data: bytes
    tokens: int = 0
    content: bool = False


@dataclass(frozen=True, slots=True)
class Charge:
    """Whom an answer is billed to, and what a complete delivery of it costs."""

    model: str
    usage: Usage


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: one body of known length, or a stream of parts. Without a charge it is free."""

    body: bytes | Iterable[Part]
    media_type: bytes = JSON
    status: int = 200
    headers: tuple[Header, ...] = ()
    charge: Charge | None = None
