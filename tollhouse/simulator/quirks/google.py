"""Gemini's OpenAI-compatible path: errors in an array, reasoning in the total only, and in a stream
that is asked for usage every chunk has what was used so far.

github.com/SuzumiyaAkizuki/ComfyUI-NewBie-LLM-Formatter/issues/3 and leookun/cursor-byok/issues/112
(the array); cloud.google.com/apis/design/errors (the status names);
github.com/Clarifai/clarifai-python/pull/978 (prompt 20, completion 424, total 1016).
"""

from __future__ import annotations

from tollhouse.simulator.errors import ApiError
from tollhouse.simulator.quirks.quirk import Body, Quirk
from tollhouse.simulator.usage import Counts

_STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


def _error(error: ApiError) -> object:
    status = _STATUS.get(error.status, "UNKNOWN")
    return [{"error": {"code": error.status, "message": error.message, "status": status}}]


def _usage(counts: Counts) -> Body:
    usage: Body = {
        "completion_tokens": counts.output_tokens - counts.reasoning_tokens,
        "prompt_tokens": counts.input_tokens,
        "total_tokens": counts.total_tokens,
    }
    if counts.cached_input_tokens:
        usage["prompt_tokens_details"] = {"cached_tokens": counts.cached_input_tokens}
    return usage


def _answer(body: Body, counts: Counts | None) -> Body:
    for name in ("service_tier", "system_fingerprint", "obfuscation"):
        body.pop(name, None)
    if "usage" in body and counts:
        body["usage"] = _usage(counts)
    return {name: body[name] for name in sorted(body)}


def _chunk(chunk: Body, counts: Counts | None) -> list[Body]:
    return [_answer(chunk, counts)] if chunk["choices"] else []


GEMINI = Quirk(
    source="ai.google.dev/gemini-api/docs/openai; leookun/cursor-byok/issues/112",
    headers=(
        (b"server", b"scaffolding on HTTPServer2"),
        (b"server-timing", b"gfet4t7; dur=412"),
        (b"x-frame-options", b"SAMEORIGIN"),
    ),
    answer=_answer,
    chunk=_chunk,
    error=_error,
)
