"""What is sent, and what the upstream streams."""

from __future__ import annotations

import json
from typing import Any

MODEL = "bench"
PACED = "bench-paced"
BURSTS = (10, 100, 1000)
"""Events of the streams that come at once; the alias of each is `burst(events)`."""

KIB_PER_SECOND = 8
_PACED_EVENTS = 80
_PROSE = 'The quick brown fox said "hello" to the lazy dog, and the dog answered.\nThen both left. '


def burst(events: int) -> str:
    """The alias whose upstream streams so many events at once."""
    return f"bench-burst-{events}"


def chat(model: str = MODEL, *, stream: bool = False) -> bytes:
    """A small chat: a system prompt and a question."""
    return _body(model, "You are a helpful assistant.", "Say hello", stream=stream)


def chat_of(size: int, model: str = MODEL) -> bytes:
    """A chat of about so many bytes: prose, with the quotes and line ends that JSON escapes."""
    return _body(model, *[_PROSE * 10] * max(1, size // len(json.dumps(_PROSE * 10))))


def _body(model: str, system: str, *users: str, stream: bool = False) -> bytes:
    messages = [{"role": "system", "content": system}]
    messages += [{"role": "user", "content": text} for text in users]
    return json.dumps(
        {"model": model, "messages": messages} | ({"stream": True} if stream else {})
    ).encode()


def events(count: int = _PACED_EVENTS) -> bytes:
    """An answer in so many events, its usage, and the end."""
    words = [_event([{"index": 0, "delta": {"content": " word"}, "finish_reason": None}])] * count
    end = [_event([{"index": 0, "delta": {}, "finish_reason": "stop"}]), _usage(count)]
    return b"".join([*words, *end, b"data: [DONE]\n\n"])


def paced_seconds() -> float:
    """How long a paced stream lasts."""
    return len(events()) / (KIB_PER_SECOND * 1024)


def _usage(count: int) -> bytes:
    usage = {"prompt_tokens": 19, "completion_tokens": count, "total_tokens": count + 19}
    return _event([], {"usage": usage})


def _event(choices: list[Any], more: dict[str, Any] | None = None) -> bytes:
    head = {"id": "chatcmpl-bench", "object": "chat.completion.chunk", "created": 1760000000}
    chunk = head | {"model": "bench-model-1", "choices": choices} | (more or {})
    return f"data: {json.dumps(chunk, separators=(',', ':'))}\n\n".encode()
