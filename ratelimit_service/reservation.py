"""What one request may cost at most: the bound that is reserved before it is sent.

Input: no tokenizer makes more tokens than there are bytes of text (byte-level BPE falls back to
one token a byte); each picture, sound or file counts as the alias's `max_tokens_per_media`.
Output: the limit that rewrite.lua enforces in the body (`max_output_tokens`, or the client's own),
for each of `n` choices. Everything at the full price, as if nothing were cached.
"""

from __future__ import annotations

from dataclasses import dataclass

from tollhouse import contract
from tollhouse.money import Usage
from tollhouse.policy.compiled import Alias, Org


@dataclass(frozen=True, slots=True)
class RequestSize:
    """What request.lua read in the body.

    `text_bytes` is the body without its media; `max_tokens` what the client asked for, None where
    it did not; `n` the number of choices.
    """

    endpoint: str
    text_bytes: int
    media_parts: int
    max_tokens: int | None
    n: int


@dataclass(frozen=True, slots=True)
class Call:
    """One call that asks to be admitted.

    `request_id` is Envoy's own, never the client's; empty where Envoy gave none.
    """

    key_id: str
    alias: str
    size: RequestSize
    request_id: str = ""


def worst_case(size: RequestSize, alias: Alias, org: Org) -> Usage:
    """The most tokens this request can use."""
    input_tokens = size.text_bytes + size.media_parts * alias.max_tokens_per_media
    if size.endpoint != contract.CHAT:
        return Usage(input_tokens, 0)
    return Usage(input_tokens, output_limit(size.max_tokens, alias, org) * size.n)


def output_limit(asked: int | None, alias: Alias, org: Org) -> int:
    """Output tokens a choice may have: the same rule by which splice.lua writes the body."""
    if asked is None:
        return alias.max_output_tokens or org.default_max_output_tokens
    return asked if alias.max_output_tokens is None else min(asked, alias.max_output_tokens)
