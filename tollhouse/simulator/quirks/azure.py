"""Azure OpenAI: the api-key header, content filters in answers and errors.

learn.microsoft.com/azure/ai-foundry/openai/concepts/content-filter-annotations (annotations, the
first chunk without choices); learn.microsoft.com/en-us/answers/questions/1533887 (that chunk seen);
learn.microsoft.com/azure/ai-foundry/openai/how-to/content-filters (innererror).
"""

from __future__ import annotations

from typing import Any

from tollhouse.simulator.errors import ApiError
from tollhouse.simulator.openai import errors
from tollhouse.simulator.quirks.quirk import Body, Quirk
from tollhouse.simulator.usage import Counts

_SAFE = {
    name: {"filtered": False, "severity": "safe"}
    for name in ("hate", "self_harm", "sexual", "violence")
}
_PROMPT = [{"prompt_index": 0, "content_filter_results": _SAFE}]
_ACCESS_DENIED = (
    "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a "
    "valid key for an active subscription and use a correct regional API endpoint for your "
    "resource."
)


def _answer(body: Body, _counts: Counts | None) -> Body:
    for choice in body["choices"]:
        choice["content_filter_results"] = _SAFE
    return body | {"prompt_filter_results": _PROMPT}


def _chunk(chunk: Body, _counts: Counts | None) -> list[Body]:
    chunk.pop("obfuscation", None)
    for choice in chunk["choices"]:
        delta = choice.get("delta", {})
        choice["content_filter_results"] = _SAFE if delta.get("content") else {}
        if delta.get("role") and choice["index"] == 0:
            return [_annotation(), chunk]
    return [chunk]


def _annotation() -> Body:
    empty: Body = {"choices": [], "created": 0, "id": "", "model": "", "object": ""}
    return empty | {"prompt_filter_results": _PROMPT}


def _error(error: ApiError) -> object:
    if error.status == 401:
        return {"error": {"code": "401", "message": _ACCESS_DENIED}}
    if error.status in (404, 429):
        code = "DeploymentNotFound" if error.status == 404 else "429"
        return {"error": {"code": code, "message": error.message}}
    body: Any = errors.shape(error)
    if error.status == 400:
        result = {"code": "ResponsibleAIPolicyViolation", "content_filter_result": _SAFE}
        body["error"] |= {"status": 400, "innererror": result}
    return body


AZURE = Quirk(
    source="learn.microsoft.com/azure/ai-foundry/openai/concepts/content-filter-annotations",
    key_headers=("api-key",),
    headers=(
        (b"apim-request-id", b"00000000-0000-4000-8000-000000000001"),
        (b"azureml-model-session", b"d123-20261101"),
        (b"x-ms-region", b"Sweden Central"),
        (b"x-ms-client-request-id", b"00000000-0000-4000-8000-000000000002"),
        (b"x-ratelimit-remaining-requests", b"249"),
        (b"x-ratelimit-remaining-tokens", b"249999"),
    ),
    answer=_answer,
    chunk=_chunk,
    error=_error,
)
