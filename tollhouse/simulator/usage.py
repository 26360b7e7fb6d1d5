"""Token counts that a test can work out by hand.

- One content token is one word, "tok1 "; of JSON, eight characters.
- A prompt costs 3 tokens, and each message 4 plus a quarter of its text's UTF-8 bytes, rounded up,
  plus 85 for each image (OpenAI's price of a low-detail image).
- Other text (embeddings, speech, prompts of images) costs a quarter of its UTF-8 bytes, rounded up;
  a token array its length.
- Tools and schemas cost nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

DEFAULT_COMPLETION = 12
IMAGE_TOKENS = 85
PROMPT_TOKENS = 3
MESSAGE_TOKENS = 4
_BYTES_PER_TOKEN = 4
_IMAGE_TYPES = ("image_url", "input_image", "image")


@dataclass(frozen=True, slots=True)
class Counts:
    """What one request costs. Totals include their parts.

    `cache_write_tokens` are Anthropic's of five minutes and all of unstated life.
    `audio_milliseconds` are of the input, `characters` of speech input.
    """

    input_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    input_audio_tokens: int = 0
    input_image_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    output_audio_tokens: int = 0
    output_image_tokens: int = 0
    images: int = 0
    audio_milliseconds: int = 0
    characters: int = 0
    search_units: int = 0

    def until(self, output: int) -> Counts:
        """The same after `output` tokens were generated; a model reasons before it speaks."""
        return replace(
            self,
            output_tokens=output,
            reasoning_tokens=min(self.reasoning_tokens, output),
            output_audio_tokens=min(self.output_audio_tokens, output),
            output_image_tokens=min(self.output_image_tokens, output),
        )

    @property
    def total_tokens(self) -> int:
        """Input and output."""
        return self.input_tokens + self.output_tokens


def text_tokens(texts: Iterable[str]) -> int:
    """Tokens of texts that are read as one."""
    return -(-sum(map(_utf8_bytes, texts)) // _BYTES_PER_TOKEN)


def prompt_tokens(messages: Iterable[Mapping[str, Any]]) -> int:
    """Tokens of a chat's messages; parts that are neither text nor image cost nothing."""
    return PROMPT_TOKENS + sum(message_tokens(message.get("content")) for message in messages)


def message_tokens(content: object) -> int:
    """Tokens of one message of a chat."""
    if isinstance(content, str):
        return MESSAGE_TOKENS + text_tokens((content,))
    parts = (
        [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []
    )
    texts = (text for part in parts if isinstance(text := part.get("text"), str))
    images = [part for part in parts if part.get("type") in _IMAGE_TYPES]
    return MESSAGE_TOKENS + text_tokens(texts) + len(images) * IMAGE_TOKENS


def _utf8_bytes(text: str) -> int:
    # JSON may escape half of a surrogate pair, which strict UTF-8 would refuse.
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
