"""POST /messages and /messages/count_tokens, as JSON; `stream` has the events.

docs.claude.com/en/api/messages. Of `usage`: input_tokens are without what was read from or
written to the cache; output_tokens_details only when the model thought.
"""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Any

from tollhouse.simulator.anthropic import errors, prompt, request, stream
from tollhouse.simulator.anthropic.message import Message
from tollhouse.simulator.call import Call
from tollhouse.simulator.generation import called, generate
from tollhouse.simulator.reply import EVENTS, Charge, Reply, compact

_THOUGHTS = 4  # when a request wants thinking and no directive says how much


def answer(call: Call) -> Reply:
    """One call of /messages."""
    asked = request.read(call)
    message = _message(call, asked)
    charge = Charge(asked.model, message.counts, message.service_tier)
    if not asked.stream:
        return Reply(_body(call, message), charge=charge)
    return Reply(
        stream.events(message, bare=call.asked.usage_first),
        EVENTS,
        charge=charge,
        contents=message.said.words,
        failure=lambda _sent: stream.event("error", _overloaded()),
    )


def count_tokens(call: Call) -> Reply:
    """One call of /messages/count_tokens, which is free."""
    asked = request.read(call, counting=True)
    counts = prompt.count(asked.body, 0)
    body = compact({"input_tokens": counts.input_tokens}).encode()
    return Reply(body, charge=Charge(asked.model))


def _message(call: Call, asked: request.MessagesRequest) -> Message:
    directives = call.asked
    if asked.thinking and not directives.reasoning_tokens:
        total = directives.completion_tokens
        more = None if total is None else total + _THOUGHTS
        directives = replace(directives, reasoning_tokens=_THOUGHTS, completion_tokens=more)
    tool = called(asked.tools, asked.forced, directives, answered=asked.answered)
    said = generate(directives, asked.max_tokens, asked.schema, tool)
    counts = prompt.count(asked.body, directives.cached_tokens)
    return Message(
        id=f"msg_01{uuid.uuid4().hex[:22]}",
        model=asked.model,
        said=said,
        counts=replace(counts, output_tokens=said.tokens, reasoning_tokens=said.reasoning),
        service_tier=directives.service_tier or "standard",
        counted=not directives.no_usage,
    )


def _body(call: Call, message: Message) -> bytes:
    usage: dict[str, Any] = {}
    if message.counted:
        usage = {"usage": message.usage(message.said.tokens) | message.thought_usage()}
    head = message.head() | {"content": message.content(), "stop_reason": message.stop_reason}
    return compact(usage | head if call.asked.usage_first else head | usage).encode()


def _overloaded() -> dict[str, Any]:
    error = errors.on_demand(529)
    return {"type": "error", "error": {"type": error.type, "message": error.message}}
