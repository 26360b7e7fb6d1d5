"""Providers that differ in little: DeepSeek, xAI, Together, vLLM, Ollama, Bedrock, Jina, Cohere.

Sources are in the table.
"""

from __future__ import annotations

from http import HTTPStatus

from tollhouse.simulator.errors import ApiError, phrase
from tollhouse.simulator.openai import errors
from tollhouse.simulator.quirks.plain import plain_chunk, plain_usage
from tollhouse.simulator.quirks.quirk import Body, Quirk
from tollhouse.simulator.usage import Counts


def _deepseek_answer(body: Body, counts: Counts | None) -> Body:
    body.pop("obfuscation", None)
    if counts and body.get("usage"):
        hit = counts.cached_input_tokens
        miss = max(0, counts.input_tokens - hit)
        body["usage"] |= {"prompt_cache_hit_tokens": hit, "prompt_cache_miss_tokens": miss}
    return body


def _deepseek_chunk(chunk: Body, counts: Counts | None) -> list[Body]:
    return [_deepseek_answer(chunk, counts)]


DEEPSEEK = Quirk(
    source="api-docs.deepseek.com/guides/kv_cache and /quick_start/rate_limit (keep-alive)",
    always={"usage_in_last_content": True},
    headers=((b"x-ds-trace-id", b"simulated"), (b"server", b"CloudFront")),
    answer=_deepseek_answer,
    chunk=_deepseek_chunk,
    before_stream=b": keep-alive\n\n",
    before_body=b"\n\n\n",
)


def _xai_answer(body: Body, counts: Counts | None) -> Body:
    if counts and body.get("usage"):
        body["usage"]["completion_tokens"] -= counts.reasoning_tokens
        body["usage"]["num_sources_used"] = 0
    return body


def _xai_chunk(chunk: Body, counts: Counts | None) -> list[Body]:
    chunk.pop("obfuscation", None)
    return [_xai_answer(chunk, counts)]


XAI = Quirk(
    source="docs.x.ai/docs/guides/reasoning (reasoning_tokens beside completion_tokens)",
    headers=((b"x-ratelimit-limit-requests", b"480"), (b"server", b"cloudflare")),
    answer=_xai_answer,
    chunk=_xai_chunk,
)


def _together_error(error: ApiError) -> object:
    body = errors.shape(error)
    return {"id": "simulated"} | body if isinstance(body, dict) else body


TOGETHER = Quirk(
    source="docs.together.ai/reference/chat-completions-1 (usage in the last chunk) and /rerank-1",
    headers=((b"x-together-traceid", b"simulated"), (b"server", b"cloudflare")),
    always={"usage_in_last_content": True},
    answer=plain_usage,
    chunk=plain_chunk,
    error=_together_error,
    rerank="together",
)


def _vllm_error(error: ApiError) -> object:
    try:
        kind = HTTPStatus(error.status).name.title().replace("_", "") + "Error"
    except ValueError:
        kind = "InternalServerError"
    about = {"message": error.message, "type": kind, "param": error.param, "code": error.status}
    return {"object": "error"} | about


VLLM = Quirk(
    source="github.com/vllm-project/vllm/issues/4667 and openai/openai-agents-python/issues/2129",
    headers=((b"server", b"uvicorn"),),
    answer=plain_usage,
    chunk=plain_chunk,
    error=_vllm_error,
    rerank="jina",
)


def _ollama_error(error: ApiError) -> object:
    return {"error": error.message}


OLLAMA = Quirk(
    source="docs.ollama.com/api/openai-compatibility; github.com/ollama/ollama/issues/9905",
    key_headers=(),
    headers=(),
    answer=plain_usage,
    chunk=plain_chunk,
    error=_ollama_error,
)


def _bedrock_error(error: ApiError) -> object:
    return {"message": error.message or phrase(error.status)}


BEDROCK = Quirk(
    source="docs.aws.amazon.com/bedrock/latest/userguide/inference-chat-completions.html; errors: "
    "github.com/MattJColes/lgtmaybe/pull/70",
    headers=(
        (b"x-amzn-requestid", b"00000000-0000-4000-8000-000000000004"),
        (b"x-amzn-bedrock-invocation-latency", b"412"),
    ),
    answer=plain_usage,
    chunk=plain_chunk,
    error=_bedrock_error,
)

COHERE = Quirk(
    source="docs.cohere.com/reference/rerank (meta.billed_units.search_units), /reference/errors",
    headers=((b"x-trial-endpoint-call-limit", b"10"), (b"x-debug-trace-id", b"simulated")),
    error=_bedrock_error,
)

JINA = Quirk(
    source="api.jina.ai/scalar (rerank: usage.total_tokens)",
    headers=((b"x-ratelimit-limit", b"500"),),
    error=lambda error: {"detail": error.message},
    rerank="jina",
)
