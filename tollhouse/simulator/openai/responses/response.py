"""The response object, its items, and its usage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tollhouse.simulator.generation import Generation
from tollhouse.simulator.openai.responses.request import ResponsesRequest
from tollhouse.simulator.usage import Counts

# What the request may set and the response repeats, with the value where it is not set.
_ECHOED: dict[str, Any] = {
    "background": False,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "store": True,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}, "verbosity": "medium"},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}


@dataclass(frozen=True, slots=True)
class Response:
    """One answer. `counted`: whether usage is shown."""

    id: str
    created_at: int
    request: ResponsesRequest
    said: Generation
    counts: Counts
    service_tier: str
    counted: bool

    def item_id(self, kind: str) -> str:
        """The id of its one item of a kind: "rs", "msg", "fc"."""
        return f"{kind}_{self.id.removeprefix('resp_')}"

    def shown(self, status: str, output: list[dict[str, Any]]) -> dict[str, Any]:
        """The object, with its usage once it is over."""
        over = status not in ("queued", "in_progress")
        cut = {"reason": "max_output_tokens"} if status == "incomplete" else None
        return {
            "id": self.id,
            "object": "response",
            "created_at": self.created_at,
            "status": status,
            "error": None,
            "incomplete_details": cut,
            "model": self.request.model,
            "output": output,
            **self._echoed(self.request.body),
            "service_tier": self.service_tier if over else "auto",
            **self._usage(over),
        }

    @property
    def status(self) -> str:
        """How it ends."""
        return "incomplete" if self.said.cut else "completed"

    def finished(self) -> dict[str, Any]:
        """The object at its end."""
        return self.shown(self.status, self.output())

    def output(self) -> list[dict[str, Any]]:
        """All items."""
        items = [self.reasoning()] if self.said.reasoning else []
        text = self.said.text()
        if self.said.tool is None:
            return [*items, self.message(self.status, [self.part(text)])]
        return [*items, self.function_call(self.status, text)]

    def reasoning(self) -> dict[str, Any]:
        """The item that stands for hidden reasoning."""
        return {"id": self.item_id("rs"), "type": "reasoning", "summary": []}

    def message(self, status: str, content: list[dict[str, Any]]) -> dict[str, Any]:
        """The item of a message."""
        return {
            "id": self.item_id("msg"),
            "type": "message",
            "status": status,
            "content": content,
            "role": "assistant",
        }

    def part(self, text: str) -> dict[str, Any]:
        """The only part of a message."""
        return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}

    def function_call(self, status: str, arguments: str) -> dict[str, Any]:
        """The item of a called tool."""
        return {
            "id": self.item_id("fc"),
            "type": "function_call",
            "status": status,
            "arguments": arguments,
            "call_id": f"call_{self.id[-24:]}",
            "name": self.said.tool.name if self.said.tool else "",
        }

    def _echoed(self, body: Mapping[str, Any]) -> dict[str, Any]:
        set_by_client = {name: body[name] for name in _ECHOED if body.get(name) is not None}
        echoed = _ECHOED | set_by_client
        for name in ("text", "reasoning"):
            if isinstance(echoed[name], dict):
                echoed[name] = _ECHOED[name] | echoed[name]
        return echoed

    def _usage(self, over: bool) -> dict[str, Any]:
        if not self.counted:
            return {}
        return {"usage": usage(self.counts) if over else None}


def usage(counts: Counts) -> dict[str, Any]:
    """The `usage` object of a response."""
    cached, written = counts.cached_input_tokens, counts.cache_write_tokens
    return {
        "input_tokens": counts.input_tokens,
        "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written},
        "output_tokens": counts.output_tokens,
        "output_tokens_details": {"reasoning_tokens": counts.reasoning_tokens},
        "total_tokens": counts.total_tokens,
    }
