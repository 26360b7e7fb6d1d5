"""POST /chat/completions: what is asked, and what the answer will be."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tollhouse.simulator import errors, fields
from tollhouse.simulator.directives import MAX_TOKENS, Directives
from tollhouse.simulator.usage import DEFAULT_COMPLETION, Usage, prompt_tokens

_MAX_CHOICES = 128


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """The parts of a request that shape its answer. `tool`: a function that must be called."""

    model: str
    prompt_tokens: int
    stream: bool
    include_usage: bool
    obfuscate: bool
    choices: int
    max_tokens: int | None
    tool: str | None


@dataclass(frozen=True, slots=True)
class Completion:
    """An answer to one request: every choice says the same `words` words."""

    request: ChatRequest
    id: str
    created: int
    words: int
    reasoning: int
    finish_reason: str
    usage: Usage


def read(body: bytes) -> ChatRequest:
    """A request from its body.

    Raises:
        ApiError: 400, with the real API's message.
    """
    data = fields.read_object(body)
    model = fields.read_model(data)
    messages = _messages(data)
    stream = fields.read_flag(data, "stream", False)
    options = _stream_options(data, stream)
    return ChatRequest(
        model=model,
        prompt_tokens=prompt_tokens(messages),
        stream=stream,
        include_usage=fields.read_flag(options, "include_usage", False),
        obfuscate=fields.read_flag(options, "include_obfuscation", True),
        choices=fields.read_integer(data, "n", 1, _MAX_CHOICES) or 1,
        max_tokens=_max_tokens(data),
        tool=_forced_tool(data),
    )


def complete(request: ChatRequest, asked: Directives) -> Completion:
    """The answer's size: as asked, or 12 words, capped by the request's own limit."""
    wanted = asked.completion_tokens
    if wanted is None:
        wanted = DEFAULT_COMPLETION + asked.reasoning_tokens
    total = wanted if request.max_tokens is None else min(wanted, request.max_tokens)
    # A model reasons before it speaks, so a cap takes the visible words first.
    reasoning = min(asked.reasoning_tokens, total)
    done = "tool_calls" if request.tool else "stop"
    return Completion(
        request=request,
        id=f"chatcmpl-{uuid.uuid4().hex[:29]}",
        created=int(time.time()),
        words=total - reasoning,
        reasoning=reasoning,
        finish_reason="length" if total < wanted else done,
        usage=Usage(
            prompt=request.prompt_tokens,
            completion=total * request.choices,
            cached=asked.cached_tokens,
            reasoning=reasoning * request.choices,
        ),
    )


def contents(completion: Completion) -> Iterator[str]:
    """One string a token: words, or the arguments of the called tool, which are a JSON object
    unless the token limit cut them short."""
    last = completion.words if completion.finish_reason == "tool_calls" else 0
    for number in range(1, completion.words + 1):
        opening = '{"text":"' if completion.request.tool and number == 1 else ""
        yield f"{opening}tok{number} " + ('"}' if number == last else "")


def _messages(data: Mapping[str, Any]) -> list[dict[str, Any]]:
    messages = data.get("messages")
    if messages is None:
        raise errors.missing_parameter("messages")
    if not isinstance(messages, list):
        raise errors.invalid_type("messages", "an array of objects", messages)
    if not messages:
        raise errors.empty_array("messages")
    for index, message in enumerate(messages):
        if not isinstance(message, dict):
            raise errors.invalid_type(f"messages[{index}]", "an object", message)
    return messages


def _stream_options(data: Mapping[str, Any], stream: bool) -> Mapping[str, Any]:
    options = data.get("stream_options")
    if options is None:
        return {}
    if not stream:
        raise errors.stream_options_without_stream()
    if not isinstance(options, dict):
        raise errors.invalid_type("stream_options", "an object", options)
    return options


def _max_tokens(data: Mapping[str, Any]) -> int | None:
    old = fields.read_integer(data, "max_tokens", 1, MAX_TOKENS)
    new = fields.read_integer(data, "max_completion_tokens", 1, MAX_TOKENS)
    if old is not None and new is not None:
        raise errors.two_token_limits()
    return new if old is None else old


def _forced_tool(data: Mapping[str, Any]) -> str | None:
    """The first tool when some tool must be called, the named one when it is named."""
    choice = data.get("tool_choice")
    if choice == "required":
        tools = data.get("tools")
        choice = tools[0] if isinstance(tools, list) and tools else None
    function = choice.get("function") if isinstance(choice, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    return name if isinstance(name, str) else None
