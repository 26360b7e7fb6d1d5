"""What a model says, in tokens: plain words, or JSON that fits a schema."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tollhouse.simulator.directives import Directives
from tollhouse.simulator.schema import example
from tollhouse.simulator.usage import DEFAULT_COMPLETION

_JSON_TOKEN = 8  # characters

Schema = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that is called, and the schema of its arguments."""

    name: str
    schema: Schema


@dataclass(frozen=True, slots=True)
class Generation:
    """One choice: `words` visible tokens after `reasoning` hidden ones; `cut` by a limit.

    `json` is what is said where a schema asks for JSON; otherwise it is words.
    """

    words: int
    reasoning: int
    cut: bool
    tool: Tool | None = None
    json: str | None = None

    @property
    def tokens(self) -> int:
        """All of them."""
        return self.words + self.reasoning

    def pieces(self) -> Iterator[str]:
        """One string a token. A called tool's arguments are JSON, unless a limit cut them short."""
        if self.json is not None:
            for start in range(0, self.words * _JSON_TOKEN, _JSON_TOKEN):
                yield self.json[start : start + _JSON_TOKEN]
            return
        last = self.words if self.tool and not self.cut else 0
        for number in range(1, self.words + 1):
            opening = '{"text":"' if self.tool and number == 1 else ""
            yield f"{opening}tok{number} " + ('"}' if number == last else "")

    def text(self) -> str:
        """All of it."""
        return "".join(self.pieces())


def generate(
    asked: Directives, limit: int | None, schema: Schema | None = None, tool: Tool | None = None
) -> Generation:
    """An answer of the size that is asked for, or 12 words, capped by the request's own limit.

    JSON has the size that its schema gives it.
    """
    wish = tool.schema if tool else schema
    said = None
    if wish is not None and wish.get("properties"):
        said = json.dumps(example(wish), separators=(",", ":"))
    wanted = _wanted(asked, said)
    total = wanted if limit is None else min(wanted, limit)
    # A model reasons before it speaks, so a cap takes the visible words first.
    reasoning = min(asked.reasoning_tokens, total)
    return Generation(total - reasoning, reasoning, total < wanted, tool, said)


def _wanted(asked: Directives, said: str | None) -> int:
    if said is not None:
        return asked.reasoning_tokens - (-len(said) // _JSON_TOKEN)
    if asked.completion_tokens is not None:
        return asked.completion_tokens
    return DEFAULT_COMPLETION + asked.reasoning_tokens


def called(
    tools: list[Tool], forced: str | bool, asked: Directives, *, answered: bool
) -> Tool | None:
    """The tool that is called: the one that is named (`forced`), the first when one must be.

    Otherwise none, unless the directive asks for one and the last message is not already a tool's
    answer: a loop that goes on until the model speaks shall end.
    """
    if isinstance(forced, str):
        return next((tool for tool in tools if tool.name == forced), Tool(forced, {}))
    if forced or (asked.tool_call and not answered):
        return tools[0] if tools else None
    return None
