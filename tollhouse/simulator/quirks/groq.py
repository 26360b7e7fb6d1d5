"""Groq: usage of a stream in `x_groq`, with times, and once more in an event of its own if asked.

console.groq.com/docs/api-reference#chat-create (x_groq, the times in usage);
github.com/Portkey-AI/gateway/issues/1338 (the event of its own).
"""

from __future__ import annotations

from tollhouse.simulator.quirks.quirk import Body, Quirk
from tollhouse.simulator.usage import Counts

_ID = "req_simulated"
_TIMES = {"queue_time": 0.01, "prompt_time": 0.002, "completion_time": 0.04, "total_time": 0.042}


def _usage(counts: Counts) -> Body:
    usage: Body = {
        "prompt_tokens": counts.input_tokens,
        "completion_tokens": counts.output_tokens,
        "total_tokens": counts.total_tokens,
    }
    if counts.cached_input_tokens:
        usage["prompt_tokens_details"] = {"cached_tokens": counts.cached_input_tokens}
    if counts.reasoning_tokens:
        usage["completion_tokens_details"] = {"reasoning_tokens": counts.reasoning_tokens}
    return usage | _TIMES


def _answer(body: Body, counts: Counts | None) -> Body:
    if counts:
        body["usage"] = _usage(counts)
    return body | {"service_tier": "on_demand", "x_groq": {"id": _ID}}


def _chunk(chunk: Body, counts: Counts | None) -> list[Body]:
    for name in ("obfuscation", "service_tier"):
        chunk.pop(name, None)
    if chunk.pop("usage", None) and counts:
        chunk["usage"] = _usage(counts)
    if any(choice["finish_reason"] for choice in chunk["choices"]):
        chunk["x_groq"] = {"id": _ID} | ({"usage": _usage(counts)} if counts else {})
    elif any(choice.get("delta", {}).get("role") for choice in chunk["choices"]):
        chunk["x_groq"] = {"id": _ID}
    return [chunk]


GROQ = Quirk(
    source="console.groq.com/docs/api-reference#chat-create",
    headers=(
        (b"x-groq-region", b"us-east-1"),
        (b"x-request-id", b"req_simulated"),
        (b"x-ratelimit-limit-requests", b"14400"),
        (b"x-ratelimit-remaining-tokens", b"17997"),
        (b"x-ratelimit-reset-tokens", b"7.66s"),
        (b"server", b"cloudflare"),
    ),
    answer=_answer,
    chunk=_chunk,
)
