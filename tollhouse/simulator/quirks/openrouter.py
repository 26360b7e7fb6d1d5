"""OpenRouter: usage with a cost, the name of who answered, comments in streams.

openrouter.ai/docs/api/reference/streaming (comments), .../errors-and-debugging (errors),
openrouter.ai/docs/use-cases/usage-accounting (usage always, its cost in USD). The event of usage
has an empty choice.
"""

from __future__ import annotations

import json

from tollhouse.simulator.errors import ApiError
from tollhouse.simulator.openai import errors
from tollhouse.simulator.quirks.quirk import Body, Quirk
from tollhouse.simulator.usage import Counts

_PROVIDER = "SimulatedInference"
_USD_PER_TOKEN = 0.000001
_EMPTY = {
    "index": 0,
    "delta": {"role": "assistant", "content": ""},
    "finish_reason": None,
    "native_finish_reason": None,
    "logprobs": None,
}


def _answer(body: Body, counts: Counts | None) -> Body:
    answer: Body = {"provider": _PROVIDER} | body
    for choice in answer["choices"]:
        choice["native_finish_reason"] = choice["finish_reason"]
    if counts and answer.get("usage"):
        cost = round(counts.total_tokens * _USD_PER_TOKEN, 9)
        answer["usage"] |= {"cost": cost, "is_byok": False}
        answer["usage"]["cost_details"] = {"upstream_inference_cost": None}
        answer["choices"] = answer["choices"] or [_EMPTY]
    return answer


def _chunk(chunk: Body, counts: Counts | None) -> list[Body]:
    for name in ("obfuscation", "service_tier"):
        chunk.pop(name, None)
    if chunk.get("usage") is None:
        chunk.pop("usage", None)
    return [_answer(chunk, counts)]


def _error(error: ApiError) -> object:
    raw = {"raw": json.dumps(errors.shape(error)), "provider_name": _PROVIDER}
    about: Body = {"message": "Provider returned error", "code": error.status, "metadata": raw}
    if error.status == 401:
        about = {"message": "User not found.", "code": 401}
    return {"error": about, "user_id": "user_simulated"}


OPENROUTER = Quirk(
    source="openrouter.ai/docs/api/reference/streaming and errors-and-debugging",
    headers=((b"x-generation-id", b"gen-simulated"), (b"server", b"cloudflare")),
    always={"usage_always": True},
    answer=_answer,
    chunk=_chunk,
    before_stream=b": OPENROUTER PROCESSING\n\n",
    error=_error,
)
