"""Tokens of an Anthropic prompt, and which of them the cache takes.

A prompt is read in the order system, messages. Each message, and the system prompt if there is
one, costs 4 tokens, and each of its blocks a quarter of its text's UTF-8 bytes, rounded up, or 85
for an image; 3 more end the prompt. A block with `cache_control` writes everything from the last
such block up to itself, for five minutes or its `ttl`; a mark on the request itself is one at the
end of the last message. What is read from the cache are the first
tokens of the prompt, and those are not written.
docs.claude.com/en/docs/build-with-claude/prompt-caching
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tollhouse.simulator.usage import (
    IMAGE_TOKENS,
    MESSAGE_TOKENS,
    PROMPT_TOKENS,
    Counts,
    text_tokens,
)


@dataclass(frozen=True, slots=True)
class _Block:
    tokens: int
    ttl: str | None


def count(body: Mapping[str, Any], read: int) -> Counts:
    """The input's counts when the first `read` tokens come from the cache.

    Tools' marks count as marks at the prompt's beginning, where nothing is written yet.
    """
    blocks = list(_blocks(body))
    if (whole := _ttl(body.get("cache_control"))) is not None:
        blocks.append(_Block(0, whole))
    total = PROMPT_TOKENS + sum(block.tokens for block in blocks)
    written = {"5m": 0, "1h": 0}
    waiting, unread = 0, read
    for block in blocks:
        cached = min(unread, block.tokens)
        unread -= cached
        waiting += block.tokens - cached
        if block.ttl is not None:
            written["1h" if block.ttl == "1h" else "5m"] += waiting
            waiting = 0
    return Counts(
        input_tokens=max(total, read),
        cached_input_tokens=read,
        cache_write_tokens=written["5m"],
        cache_write_1h_tokens=written["1h"],
    )


def _blocks(body: Mapping[str, Any]) -> Iterator[_Block]:
    if body.get("system"):
        yield from _message(body["system"])
    for message in body["messages"]:
        yield from _message(message.get("content"))


def _message(content: object) -> Iterator[_Block]:
    yield _Block(MESSAGE_TOKENS, None)
    if isinstance(content, str):
        yield _Block(text_tokens((content,)), None)
        return
    for part in content if isinstance(content, list) else []:
        if isinstance(part, dict):
            yield _Block(_tokens(part), _ttl(part.get("cache_control")))


def _tokens(part: Mapping[str, Any]) -> int:
    if part.get("type") == "image":
        return IMAGE_TOKENS
    inner = part.get("content")
    if isinstance(inner, list):
        return sum(_tokens(each) for each in inner if isinstance(each, dict))
    text = inner if isinstance(inner, str) else part.get("text")
    return text_tokens((text,)) if isinstance(text, str) else 0


def _ttl(mark: object) -> str | None:
    return str(mark.get("ttl", "5m")) if isinstance(mark, dict) else None
