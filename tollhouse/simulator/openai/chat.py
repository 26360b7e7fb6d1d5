"""POST /chat/completions: what is asked, and what the answer will be."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tollhouse.simulator.directives import MAX_TOKENS, Directives
from tollhouse.simulator.generation import Generation, Schema, Tool, called, generate
from tollhouse.simulator.openai import errors, fields
from tollhouse.simulator.usage import Counts, prompt_tokens

_MAX_CHOICES = 128
JSON_OBJECT: Schema = {"properties": {"text": {"type": "string"}}}


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """The parts of a request that shape its answer."""

    model: str
    prompt_tokens: int
    stream: bool
    include_usage: bool
    obfuscate: bool
    choices: int
    max_tokens: int | None
    tools: list[Tool]
    forced: str | bool
    answered: bool
    schema: Schema | None
    service_tier: str


@dataclass(frozen=True, slots=True)
class Completion:
    """An answer to one request: every choice says the same."""

    request: ChatRequest
    id: str
    created: int
    said: Generation
    finish_reason: str
    service_tier: str
    counts: Counts


def read(body: bytes) -> ChatRequest:
    """A request from its body.

    Raises:
        ApiError: 400, with the real API's message.
    """
    data = fields.read_object(body)
    model = fields.read_model(data)
    messages = _messages(data)
    stream = fields.read_flag(data, "stream", False)
    options = read_stream_options(data, stream)
    return ChatRequest(
        model=model,
        prompt_tokens=prompt_tokens(messages),
        stream=stream,
        include_usage=fields.read_flag(options, "include_usage", False),
        obfuscate=fields.read_flag(options, "include_obfuscation", True),
        choices=fields.read_integer(data, "n", 1, _MAX_CHOICES) or 1,
        max_tokens=_max_tokens(data),
        tools=_tools(data),
        forced=_forced(data),
        answered=messages[-1].get("role") == "tool",
        schema=_schema(data),
        service_tier=fields.read_optional(data, "service_tier", "auto"),
    )


def complete(request: ChatRequest, asked: Directives) -> Completion:
    """The answer, of the size that is asked for, capped by the request's own limit."""
    tool = called(request.tools, request.forced, asked, answered=request.answered)
    said = generate(asked, request.max_tokens, request.schema, tool)
    return Completion(
        request=request,
        id=f"chatcmpl-{uuid.uuid4().hex[:29]}",
        created=int(time.time()),
        said=said,
        finish_reason="length" if said.cut else "tool_calls" if tool else "stop",
        service_tier=served_tier(request.service_tier, asked),
        counts=Counts(
            input_tokens=request.prompt_tokens,
            cached_input_tokens=asked.cached_tokens,
            cache_write_tokens=asked.cache_write_tokens,
            input_audio_tokens=asked.input_audio_tokens,
            output_tokens=said.tokens * request.choices,
            reasoning_tokens=said.reasoning * request.choices,
            output_audio_tokens=asked.output_audio_tokens,
        ),
    )


def served_tier(wanted: str, asked: Directives) -> str:
    """The service tier an answer names: as asked for, or "default"."""
    return asked.service_tier or ("default" if wanted == "auto" else wanted)


def usage(counts: Counts) -> dict[str, Any]:
    """The `usage` object of a chat completion."""
    cached, audio = counts.cached_input_tokens, counts.input_audio_tokens
    prompt = {"cached_tokens": cached, "audio_tokens": audio}
    if counts.cache_write_tokens:
        prompt["cache_write_tokens"] = counts.cache_write_tokens
    return {
        "prompt_tokens": counts.input_tokens,
        "completion_tokens": counts.output_tokens,
        "total_tokens": counts.total_tokens,
        "prompt_tokens_details": prompt,
        "completion_tokens_details": {
            "reasoning_tokens": counts.reasoning_tokens,
            "audio_tokens": counts.output_audio_tokens,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


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


def read_stream_options(data: Mapping[str, Any], stream: bool) -> Mapping[str, Any]:
    """Options of a stream; none when there are none.

    Raises:
        ApiError: 400, without a stream, or no object.
    """
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


def _tools(data: Mapping[str, Any]) -> list[Tool]:
    tools = data.get("tools")
    functions = [
        tool["function"]
        for tool in (tools if isinstance(tools, list) else [])
        if isinstance(tool, dict) and isinstance(tool.get("function"), dict)
    ]
    return [
        Tool(str(function.get("name")), function.get("parameters") or {}) for function in functions
    ]


def _forced(data: Mapping[str, Any]) -> str | bool:
    """The name of the tool that must be called, or whether some tool must be."""
    choice = data.get("tool_choice")
    function = choice.get("function") if isinstance(choice, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    return name if isinstance(name, str) else choice == "required"


def _schema(data: Mapping[str, Any]) -> Schema | None:
    """The schema of `response_format`; one of a single text where any JSON object will do."""
    wanted = data.get("response_format")
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if kind == "json_object":
        return JSON_OBJECT
    described = wanted.get("json_schema") if isinstance(wanted, dict) else None
    schema = described.get("schema") if isinstance(described, dict) else None
    return schema if isinstance(schema, dict) else None
