"""Mistral: usage in the last chunk unasked, and fields it does not know are errors.

github.com/dnakov/anon-kode/issues/53 (stream_options), editor-code-assistant/eca/issues/231
(max_completion_tokens): both with the 422's body; docs.mistral.ai/api (HTTPValidationError).
"""

from __future__ import annotations

from typing import Any

from tollhouse.simulator.errors import INVALID, ApiError
from tollhouse.simulator.quirks.plain import plain_usage
from tollhouse.simulator.quirks.quirk import Body, Quirk
from tollhouse.simulator.usage import Counts

_UNKNOWN = ("max_completion_tokens", "service_tier", "store", "user", "logit_bias")


def _check(_endpoint: str, body: Body) -> None:
    for name in ("model", "messages"):
        if name not in body:
            where = {"type": "missing", "loc": ["body", name], "msg": "Field required"}
            raise ApiError(422, "", body={"detail": [where | {"input": body}]})
    if isinstance(options := body.get("stream_options"), dict):
        _refuse([["stream_options", name] for name in options] or [["stream_options"]], options)
    _refuse([[name] for name in _UNKNOWN if name in body], body)


def _refuse(places: list[list[str]], values: Body) -> None:
    details = [
        {
            "type": "extra_forbidden",
            "loc": ["body", *place],
            "msg": "Extra inputs are not permitted",
            "input": values.get(place[-1]),
        }
        for place in places
    ]
    if details:
        body = _shape({"detail": details}, INVALID, None)
        raise ApiError(422, "", body=body)


def _shape(message: Any, kind: str, code: str | None) -> Body:
    return {"object": "error", "message": message, "type": kind, "param": None, "code": code}


def _error(error: ApiError) -> object:
    if error.status == 401:
        return {"detail": "Unauthorized"}
    known = {429: ("rate_limited", "1300"), 400: ("invalid_request_error", "3051")}
    kind, code = known.get(error.status, (error.type, str(error.status)))
    return _shape(error.message, kind, code)


def _answer(body: Body, counts: Counts | None) -> Body:
    for name in ("service_tier", "system_fingerprint"):
        body.pop(name, None)
    return plain_usage(body, counts)


def _chunk(chunk: Body, counts: Counts | None) -> list[Body]:
    chunk.pop("obfuscation", None)
    return [_answer(chunk, counts)]


MISTRAL = Quirk(
    source="docs.mistral.ai/api; github.com/dnakov/anon-kode/issues/53",
    headers=(
        (b"mistral-correlation-id", b"00000000-0000-4000-8000-000000000003"),
        (b"x-kong-request-id", b"simulated"),
        (b"x-ratelimit-limit-req-minute", b"300"),
        (b"x-ratelimit-remaining-req-minute", b"299"),
        (b"x-ratelimit-limit-tokens-minute", b"500000"),
    ),
    always={"usage_in_last_content": True},
    check=_check,
    answer=_answer,
    chunk=_chunk,
    error=_error,
)
