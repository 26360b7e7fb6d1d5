"""Gemini's OpenAI-compatible path: errors in an array, reasoning in the total only.

github.com/SuzumiyaAkizuki/ComfyUI-NewBie-LLM-Formatter/issues/3 and leookun/cursor-byok/issues/112
(the array); cloud.google.com/apis/design/errors (the status names);
github.com/Clarifai/clarifai-python/pull/978 (prompt 20, completion 424, total 1016).
"""

from __future__ import annotations

from tollhouse.simulator.errors import ApiError
from tollhouse.simulator.quirks.plain import plain_usage
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


def _answer(body: Body, counts: Counts | None) -> Body:
    for name in ("service_tier", "system_fingerprint", "obfuscation"):
        body.pop(name, None)
    plain = plain_usage(body, counts)
    if counts and plain.get("usage"):
        plain["usage"]["completion_tokens"] -= counts.reasoning_tokens
        if counts.cached_input_tokens:
            cached = {"cached_tokens": counts.cached_input_tokens}
            plain["usage"]["prompt_tokens_details"] = cached
    return plain


def _chunk(chunk: Body, counts: Counts | None) -> list[Body]:
    return [_answer(chunk, counts)]


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
