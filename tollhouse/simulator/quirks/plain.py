"""Usage without details: three numbers."""

from __future__ import annotations

from tollhouse.simulator.quirks.quirk import Body
from tollhouse.simulator.usage import Counts


def plain_usage(body: Body, _counts: Counts | None) -> Body:
    """The body with nothing but the three numbers in its usage; without it where it is null."""
    usage = body.pop("usage", None)
    if usage:
        names = ("prompt_tokens", "total_tokens", "completion_tokens")
        body["usage"] = {name: usage[name] for name in names}
    return body


def plain_chunk(chunk: Body, counts: Counts | None) -> list[Body]:
    """The same of a chunk, without OpenAI's padding and tiers."""
    for name in ("obfuscation", "service_tier"):
        chunk.pop(name, None)
    return [plain_usage(chunk, counts)]
