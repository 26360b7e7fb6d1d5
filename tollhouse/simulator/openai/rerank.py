"""POST /rerank, in the shape of the provider that the quirk names.

docs.cohere.com/reference/rerank (a search unit is one query with up to 100 documents);
api.jina.ai/scalar and docs.together.ai/reference/rerank-1 (tokens in usage).
"""

from __future__ import annotations

import uuid
from typing import Any

from tollhouse.simulator.call import Call
from tollhouse.simulator.openai import errors, fields
from tollhouse.simulator.reply import Charge, Reply, as_json
from tollhouse.simulator.usage import Counts, text_tokens

_DOCUMENTS_A_UNIT = 100


def answer(call: Call) -> Reply:
    """One call. Documents keep their order; Cohere bills search units, the others tokens."""
    data = fields.read_object(call.body)
    model = fields.read_model(data)
    call.check_model(model)
    query = fields.read_text(data, "query")
    documents = _documents(data.get("documents"))
    top = fields.read_integer(data, "top_n", 1, 10_000) or len(documents)
    results: list[dict[str, Any]] = [
        {"index": index, "relevance_score": round(1 / (index + 1), 6)}
        for index in range(min(top, len(documents)))
    ]
    head: dict[str, Any] = {"id": str(uuid.uuid4()), "results": results}
    if call.quirk.rerank == "cohere":
        return _cohere(call, model, head, len(documents))
    tokens = text_tokens([query]) * len(documents) + sum(text_tokens([one]) for one in documents)
    for result in results:
        result["document"] = {"text": documents[result["index"]]}
    return _by_tokens(call, model, head, tokens)


def _cohere(call: Call, model: str, body: dict[str, Any], documents: int) -> Reply:
    units = -(-documents // _DOCUMENTS_A_UNIT)
    body["meta"] = {"api_version": {"version": "2"}}
    if not call.asked.no_usage:
        body["meta"]["billed_units"] = {"search_units": units}
    return Reply(as_json(body), charge=Charge(model, Counts(search_units=units)))


def _by_tokens(call: Call, model: str, body: dict[str, Any], tokens: int) -> Reply:
    usage: dict[str, int] = {"total_tokens": tokens}
    kind = "list"
    if call.quirk.rerank == "together":
        usage = {"prompt_tokens": tokens, "completion_tokens": 0, "total_tokens": tokens}
        kind = "rerank"
    counted = {} if call.asked.no_usage else {"usage": usage}
    answered = {"model": model, "object": kind, **counted, **body}
    return Reply(as_json(answered), charge=Charge(model, Counts(input_tokens=tokens)))


def _documents(value: object) -> list[str]:
    if value is None:
        raise errors.missing_parameter("documents")
    if not isinstance(value, list) or not value:
        raise errors.invalid_type("documents", "an array", value)
    return [str(one.get("text", "")) if isinstance(one, dict) else str(one) for one in value]
