"""An answer of POST /messages, before it is JSON or events."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tollhouse.simulator.generation import Generation
from tollhouse.simulator.usage import Counts


@dataclass(frozen=True, slots=True)
class Message:
    """`said` after thinking aloud, if it thinks. `counted`: whether usage is shown."""

    id: str
    model: str
    said: Generation
    counts: Counts
    service_tier: str
    counted: bool

    @property
    def stop_reason(self) -> str:
        """Why it ended."""
        if self.said.cut:
            return "max_tokens"
        return "tool_use" if self.said.tool else "end_turn"

    def thoughts(self) -> Iterator[str]:
        """One string for each token of thinking."""
        return (f"thought{number} " for number in range(1, self.said.reasoning + 1))

    def head(self) -> dict[str, Any]:
        """The message's fields, its content not there yet."""
        return {
            "id": self.id,
            "type": "message",
            "role": "assistant",
            "model": self.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
        }

    def tool_block(self, arguments: Any) -> dict[str, Any]:
        """The block of the called tool."""
        name = self.said.tool.name if self.said.tool else ""
        tool_id = f"toolu_{self.id[-24:]}"
        return {"type": "tool_use", "id": tool_id, "name": name, "input": arguments}

    def content(self) -> list[dict[str, Any]]:
        """All blocks. Arguments that were cut short are none."""
        blocks: list[dict[str, Any]] = []
        if self.said.reasoning:
            thinking = "".join(self.thoughts())
            blocks.append({"type": "thinking", "thinking": thinking, "signature": SIGNATURE})
        text = self.said.text()
        if self.said.tool is None:
            blocks.append({"type": "text", "text": text})
        else:
            blocks.append(self.tool_block({} if self.said.cut else json.loads(text or "{}")))
        return blocks

    def input_usage(self) -> dict[str, Any]:
        """The counts of the input."""
        counts = self.counts
        written = counts.cache_write_tokens + counts.cache_write_1h_tokens
        return {
            "input_tokens": counts.input_tokens - written - counts.cached_input_tokens,
            "cache_creation_input_tokens": written,
            "cache_read_input_tokens": counts.cached_input_tokens,
        }

    def usage(self, output_tokens: int) -> dict[str, Any]:
        """The `usage` of a message after so many tokens of output."""
        five, hour = self.counts.cache_write_tokens, self.counts.cache_write_1h_tokens
        parts = {"ephemeral_5m_input_tokens": five, "ephemeral_1h_input_tokens": hour}
        return {
            **self.input_usage(),
            "cache_creation": parts,
            "output_tokens": output_tokens,
            "service_tier": self.service_tier,
        }

    def thought_usage(self) -> dict[str, Any]:
        """How much of the output was thinking; nothing where it did not think."""
        thought = {"thinking_tokens": self.said.reasoning}
        return {"output_tokens_details": thought} if self.said.reasoning else {}


SIGNATURE = "c2ltdWxhdGVkLXNpZ25hdHVyZQ=="
