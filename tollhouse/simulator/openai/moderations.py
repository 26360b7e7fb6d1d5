"""POST /moderations: nothing is ever flagged, and nothing is charged.

platform.openai.com/docs/api-reference/moderations: free of charge, no usage.
"""

from __future__ import annotations

import uuid
from typing import Any

from tollhouse.simulator.call import Call
from tollhouse.simulator.openai import errors, fields
from tollhouse.simulator.reply import Charge, Reply, as_json

_CATEGORIES = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/instructions",
    "self-harm/intent",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
)


def answer(call: Call) -> Reply:
    """One call."""
    data = fields.read_object(call.body)
    model = fields.read_optional(data, "model", "omni-moderation-latest")
    call.check_model(model)
    if data.get("input") is None:
        raise errors.missing_parameter("input")
    inputs = data["input"] if isinstance(data["input"], list) else [data["input"]]
    # Parts of several kinds are one input; texts are one each.
    count = len(inputs) if all(isinstance(item, str) for item in inputs) else 1
    results = [_result() for _ in range(count)]
    body = {"id": f"modr-{uuid.uuid4().hex[:24]}", "model": model, "results": results}
    return Reply(as_json(body), charge=Charge(model))


def _result() -> dict[str, Any]:
    return {
        "flagged": False,
        "categories": dict.fromkeys(_CATEGORIES, False),
        "category_scores": dict.fromkeys(_CATEGORIES, 0.0001),
        "category_applied_input_types": {name: ["text"] for name in _CATEGORIES},
    }
