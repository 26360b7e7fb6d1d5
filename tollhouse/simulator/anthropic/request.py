"""What POST /messages and /messages/count_tokens are asked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tollhouse.simulator.anthropic import errors
from tollhouse.simulator.call import Call
from tollhouse.simulator.directives import MAX_TOKENS
from tollhouse.simulator.errors import ApiError
from tollhouse.simulator.generation import Schema, Tool

_NO_SAMPLING = "2026-10-21"


@dataclass(frozen=True, slots=True)
class MessagesRequest:
    """The parts of a request that shape its answer; `body` is all of it."""

    body: Mapping[str, Any]
    model: str
    stream: bool
    max_tokens: int
    thinking: bool
    tools: list[Tool]
    forced: str | bool
    answered: bool
    schema: Schema | None


def read(call: Call, *, counting: bool = False) -> MessagesRequest:
    """A request; one that only counts needs no max_tokens.

    Raises:
        ApiError: 400, with the real API's message; 404, no such model.
    """
    version = call.header(b"anthropic-version")
    if version is None:
        raise errors.missing_version()
    body = _object(call.body)
    _refuse_sampling(version, body)
    messages = body["messages"]
    thinking = body.get("thinking")
    try:
        call.check_model(body["model"])
    except ApiError:
        raise errors.model_not_found(body["model"]) from None
    return MessagesRequest(
        body=body,
        model=body["model"],
        stream=body.get("stream") is True,
        max_tokens=1 if counting else _max_tokens(body),
        thinking=isinstance(thinking, dict) and thinking.get("type") != "disabled",
        tools=_tools(body),
        forced=_forced(body),
        answered=_answers_a_tool(messages[-1].get("content")),
        schema=_schema(body),
    )


def _refuse_sampling(version: str, body: Mapping[str, Any]) -> None:
    """platform.claude.com/docs/en/api/versioning; the wording is assumed."""
    for name in ("temperature", "top_p", "top_k"):
        if version >= _NO_SAMPLING and name in body:
            raise errors.invalid(f"{name}: Extra inputs are not permitted")


def _object(data: bytes) -> dict[str, Any]:
    try:
        body = json.loads(data)
    except (ValueError, RecursionError):
        raise errors.invalid("The request body is not valid JSON.") from None
    if not isinstance(body, dict):
        raise errors.invalid("The request body is not valid JSON.")
    for name, kind, said in (("model", str, "string"), ("messages", list, "list")):
        if body.get(name) is None:
            raise errors.invalid(f"{name}: Field required")
        if not isinstance(body[name], kind):
            raise errors.invalid(f"{name}: Input should be a valid {said}")
    if not body["messages"]:
        raise errors.invalid("messages: at least one message is required")
    if not all(isinstance(message, dict) for message in body["messages"]):
        raise errors.invalid("messages.0: Input should be a valid dictionary")
    return body


def _max_tokens(body: Mapping[str, Any]) -> int:
    value = body.get("max_tokens")
    if value is None:
        raise errors.invalid("max_tokens: Field required")
    if type(value) is not int:
        raise errors.invalid("max_tokens: Input should be a valid integer")
    if not 1 <= value <= MAX_TOKENS:
        raise errors.invalid(f"max_tokens: must be greater than or equal to 1, got {value}")
    return value


def _tools(body: Mapping[str, Any]) -> list[Tool]:
    tools = body.get("tools")
    return [
        Tool(str(tool["name"]), tool.get("input_schema") or {})
        for tool in (tools if isinstance(tools, list) else [])
        if isinstance(tool, dict) and "name" in tool
    ]


def _forced(body: Mapping[str, Any]) -> str | bool:
    choice = body.get("tool_choice")
    if not isinstance(choice, dict):
        return False
    return str(choice["name"]) if choice.get("type") == "tool" else choice.get("type") == "any"


def _answers_a_tool(content: object) -> bool:
    parts = content if isinstance(content, list) else []
    return any(isinstance(part, dict) and part.get("type") == "tool_result" for part in parts)


def _schema(body: Mapping[str, Any]) -> Schema | None:
    """docs.claude.com/en/docs/build-with-claude/structured-outputs: now in output_config."""
    config = body.get("output_config")
    wanted = config.get("format") if isinstance(config, dict) else body.get("output_format")
    schema = wanted.get("schema") if isinstance(wanted, dict) else None
    return schema if isinstance(schema, dict) else None
