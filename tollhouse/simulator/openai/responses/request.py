"""What POST /responses is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tollhouse.simulator.call import Call
from tollhouse.simulator.directives import MAX_TOKENS
from tollhouse.simulator.generation import Schema, Tool
from tollhouse.simulator.openai import errors, fields
from tollhouse.simulator.openai.chat import JSON_OBJECT
from tollhouse.simulator.usage import PROMPT_TOKENS, message_tokens


@dataclass(frozen=True, slots=True)
class ResponsesRequest:
    """The parts of a request that shape its answer; `body` is all of it."""

    body: Mapping[str, Any]
    model: str
    input_tokens: int
    stream: bool
    store: bool
    obfuscate: bool
    max_tokens: int | None
    tools: list[Tool]
    forced: str | bool
    answered: bool
    schema: Schema | None
    service_tier: str


def read(call: Call) -> ResponsesRequest:
    """A request. What came before, by `previous_response_id`, counts as input once more.

    Raises:
        ApiError: 400, with the real API's message.
    """
    body = fields.read_object(call.body)
    model = fields.read_model(body)
    items = _items(body.get("input"))
    instructions = fields.read_optional(body, "instructions", "")
    options = body.get("stream_options") or {}
    return ResponsesRequest(
        body=body,
        model=model,
        input_tokens=_input_tokens(items, instructions) + _before(call, body),
        stream=fields.read_flag(body, "stream", False),
        store=fields.read_flag(body, "store", True),
        obfuscate=fields.read_flag(options, "include_obfuscation", True),
        max_tokens=fields.read_integer(body, "max_output_tokens", 16, MAX_TOKENS),
        tools=_tools(body),
        forced=_forced(body),
        answered=bool(items) and items[-1].get("type") == "function_call_output",
        schema=_schema(body),
        service_tier=fields.read_optional(body, "service_tier", "auto"),
    )


def _items(value: object) -> list[dict[str, Any]]:
    if value is None:
        raise errors.missing_parameter("input")
    if isinstance(value, str):
        return [{"role": "user", "content": value}]
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise errors.invalid_type("input", "a string or an array of objects", value)
    return value


def _input_tokens(items: list[dict[str, Any]], instructions: str) -> int:
    """As a chat's; instructions are one more message, a tool's output is a message of its text."""
    contents = [item.get("output", item.get("content")) for item in items]
    if instructions:
        contents.append(instructions)
    return PROMPT_TOKENS + sum(map(message_tokens, contents))


def _before(call: Call, body: Mapping[str, Any]) -> int:
    previous = body.get("previous_response_id")
    if previous is None:
        return 0
    if previous not in call.store.responses:
        raise errors.previous_response_not_found(str(previous))
    tokens: int = call.store.responses[previous]["usage"]["total_tokens"]
    return tokens


def _tools(body: Mapping[str, Any]) -> list[Tool]:
    tools = body.get("tools")
    return [
        Tool(str(tool.get("name")), tool.get("parameters") or {})
        for tool in (tools if isinstance(tools, list) else [])
        if isinstance(tool, dict) and tool.get("type") == "function"
    ]


def _forced(body: Mapping[str, Any]) -> str | bool:
    choice = body.get("tool_choice")
    name = choice.get("name") if isinstance(choice, dict) else None
    return name if isinstance(name, str) else choice == "required"


def _schema(body: Mapping[str, Any]) -> Schema | None:
    text = body.get("text")
    wanted = text.get("format") if isinstance(text, dict) else None
    if not isinstance(wanted, dict):
        return None
    if wanted.get("type") == "json_object":
        return JSON_OBJECT
    schema = wanted.get("schema")
    return schema if isinstance(schema, dict) else None
