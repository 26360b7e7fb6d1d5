"""GET /models and /models/{id}."""

from __future__ import annotations

from typing import Any

from tollhouse.simulator.call import Call
from tollhouse.simulator.reply import Reply, as_json

_CREATED = 1_715_367_049


def listed(call: Call) -> Reply:
    """All models."""
    data = [_model(name) for name in call.models]
    return Reply(as_json({"object": "list", "data": data}))


def one(call: Call) -> Reply:
    """One model."""
    call.check_model(call.names["model"])
    return Reply(as_json(_model(call.names["model"])))


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": _CREATED, "owned_by": "system"}
