"""Token counts that a test can work out by hand.

- One content token is one word, "tok1 ".
- A prompt costs 3 tokens, and each message 4 plus a quarter of its text's UTF-8 bytes, rounded up,
  plus 85 for each image (OpenAI's price of a low-detail image).
- An embeddings input costs a quarter of its UTF-8 bytes, rounded up, or the length of its token
  array.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

DEFAULT_COMPLETION = 12
IMAGE_TOKENS = 85
_PROMPT_TOKENS = 3
_MESSAGE_TOKENS = 4
_BYTES_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one request. `cached` is a part of `prompt`, `reasoning` of `completion`."""

    prompt: int
    completion: int = 0
    cached: int = 0
    reasoning: int = 0

    def for_chat(self) -> dict[str, Any]:
        """The `usage` object of a chat completion."""
        return {
            "prompt_tokens": self.prompt,
            "completion_tokens": self.completion,
            "total_tokens": self.prompt + self.completion,
            "prompt_tokens_details": {"cached_tokens": self.cached, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": self.reasoning,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        }

    def for_embeddings(self) -> dict[str, Any]:
        """The `usage` object of an embeddings answer."""
        return {"prompt_tokens": self.prompt, "total_tokens": self.prompt}


@lru_cache(maxsize=1024)
def indented(usage: Usage) -> str:
    """Chat usage as it stands in an indented JSON body; few distinct counts recur, so cached."""
    return json.dumps(usage.for_chat(), indent=2).replace("\n", "\n  ")


def text_tokens(texts: Iterable[str]) -> int:
    """Tokens of texts that are read as one."""
    return -(-sum(map(_utf8_bytes, texts)) // _BYTES_PER_TOKEN)


def prompt_tokens(messages: Iterable[Mapping[str, Any]]) -> int:
    """Tokens of a chat's messages; parts that are neither text nor image cost nothing."""
    return _PROMPT_TOKENS + sum(_message_tokens(message.get("content")) for message in messages)


def _message_tokens(content: object) -> int:
    if isinstance(content, str):
        return _MESSAGE_TOKENS + text_tokens((content,))
    parts = (
        [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []
    )
    texts = (text for part in parts if isinstance(text := part.get("text"), str))
    images = [part for part in parts if part.get("type") == "image_url"]
    return _MESSAGE_TOKENS + text_tokens(texts) + len(images) * IMAGE_TOKENS


def _utf8_bytes(text: str) -> int:
    # JSON may escape half of a surrogate pair, which strict UTF-8 would refuse.
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
