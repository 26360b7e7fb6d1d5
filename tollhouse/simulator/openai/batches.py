"""/batches: platform.openai.com/docs/api-reference/batch. A batch is never worked on."""

from __future__ import annotations

import time
import uuid
from typing import Any

from tollhouse.simulator.call import Call
from tollhouse.simulator.openai import errors, fields, files
from tollhouse.simulator.reply import Reply, as_json


def create(call: Call) -> Reply:
    """POST: of an uploaded file."""
    data = fields.read_object(call.body)
    file_id = fields.read_text(data, "input_file_id")
    files.find(call, file_id)
    batch = {
        "id": f"batch_{uuid.uuid4().hex}",
        "object": "batch",
        "endpoint": fields.read_text(data, "endpoint"),
        "errors": None,
        "input_file_id": file_id,
        "completion_window": fields.read_optional(data, "completion_window", "24h"),
        "status": "validating",
        "output_file_id": None,
        "error_file_id": None,
        "created_at": int(time.time()),
        "request_counts": {"total": 0, "completed": 0, "failed": 0},
        "metadata": data.get("metadata"),
    }
    call.store.batches.keep(str(batch["id"]), batch)
    return Reply(as_json(batch))


def listed(call: Call) -> Reply:
    """GET: all, newest first."""
    data = list(reversed(call.store.batches.values()))
    return Reply(as_json({"object": "list", "data": data, "has_more": False}))


def get(call: Call) -> Reply:
    """GET by id."""
    return Reply(as_json(_find(call)))


def cancel(call: Call) -> Reply:
    """POST to an id's cancel."""
    batch = _find(call)
    batch |= {"status": "cancelling", "cancelling_at": int(time.time())}
    return Reply(as_json(batch))


def _find(call: Call) -> dict[str, Any]:
    name = call.names["id"]
    if name not in call.store.batches:
        raise errors.no_such_object("Batch", name)
    return call.store.batches[name]
