"""A message as events: docs.claude.com/en/docs/build-with-claude/streaming.

Each event has its type as its name too. Counts are cumulative: message_start has the input's and
the first token, message_delta all.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tollhouse.simulator.anthropic.message import SIGNATURE, Message
from tollhouse.simulator.reply import Part, compact


def event(name: str, data: dict[str, Any]) -> bytes:
    """One event."""
    return f"event: {name}\ndata: {compact(data)}\n\n".encode()


def events(message: Message, *, bare: bool) -> Iterator[Part]:
    """The whole stream; with `bare`, the last counts are of the output only."""
    yield _part("message_start", message=_opening(message))
    index = 0
    if message.said.reasoning:
        yield from _thinking(message)
        index = 1
    block = {"type": "text", "text": ""}
    if message.said.tool is not None:
        block = message.tool_block({})
    yield _part("content_block_start", index=index, content_block=block)
    yield _part("ping")
    yield from _content(message, index)
    yield _part("content_block_stop", index=index)
    yield _part("message_delta", **_closing(message, bare))
    yield _part("message_stop")


def _part(name: str, /, **data: Any) -> Part:
    return Part(event(name, {"type": name, **data}))


def _opening(message: Message) -> dict[str, Any]:
    usage = {"usage": message.usage(min(1, message.said.tokens))} if message.counted else {}
    return message.head() | usage


def _thinking(message: Message) -> Iterator[Part]:
    block = {"type": "thinking", "thinking": "", "signature": ""}
    yield _part("content_block_start", index=0, content_block=block)
    for thought in message.thoughts():
        delta = {"type": "thinking_delta", "thinking": thought}
        yield _part("content_block_delta", index=0, delta=delta)._replace(tokens=1)
    delta = {"type": "signature_delta", "signature": SIGNATURE}
    yield _part("content_block_delta", index=0, delta=delta)
    yield _part("content_block_stop", index=0)


def _content(message: Message, index: int) -> Iterator[Part]:
    is_tool = message.said.tool is not None
    kind, field = ("input_json_delta", "partial_json") if is_tool else ("text_delta", "text")
    for piece in message.said.pieces():
        delta = {"type": kind, field: piece}
        part = _part("content_block_delta", index=index, delta=delta)
        yield part._replace(tokens=1, content=True)


def _closing(message: Message, bare: bool) -> dict[str, Any]:
    delta = {"stop_reason": message.stop_reason, "stop_sequence": None}
    if not message.counted:
        return {"delta": delta}
    usage = {} if bare else message.input_usage()
    counted = usage | {"output_tokens": message.said.tokens} | message.thought_usage()
    return {"delta": delta, "usage": counted}
