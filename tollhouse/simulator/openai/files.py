"""/files: platform.openai.com/docs/api-reference/files. Kept in memory, free of charge."""

from __future__ import annotations

import time
import uuid

from tollhouse.simulator.call import Call
from tollhouse.simulator.openai import errors, forms
from tollhouse.simulator.reply import Reply, as_json
from tollhouse.simulator.store import Upload


def upload(call: Call) -> Reply:
    """POST: a form with `file` and `purpose`."""
    form = forms.read(call)
    sent = form.file("file")
    if "purpose" not in form.fields:
        raise errors.missing_parameter("purpose")
    shown = {
        "id": f"file-{uuid.uuid4().hex[:22]}",
        "object": "file",
        "bytes": len(sent.content),
        "created_at": int(time.time()),
        "expires_at": None,
        "filename": sent.name,
        "purpose": form.fields["purpose"],
        "status": "processed",
        "status_details": None,
    }
    call.store.files.keep(str(shown["id"]), Upload(shown, sent.content))
    return Reply(as_json(shown))


def listed(call: Call) -> Reply:
    """GET: all, newest first."""
    data = [one.shown for one in reversed(call.store.files.values())]
    return Reply(as_json({"object": "list", "data": data, "has_more": False}))


def get(call: Call) -> Reply:
    """GET by id."""
    return Reply(as_json(find(call, call.names["id"]).shown))


def content(call: Call) -> Reply:
    """GET by id, the bytes."""
    return Reply(find(call, call.names["id"]).content, b"application/octet-stream")


def delete(call: Call) -> Reply:
    """DELETE by id."""
    name = call.names["id"]
    find(call, name)
    del call.store.files[name]
    return Reply(as_json({"id": name, "object": "file", "deleted": True}))


def find(call: Call, name: str) -> Upload:
    """A file.

    Raises:
        ApiError: 404, there is none of that id.
    """
    if name not in call.store.files:
        raise errors.no_such_object("File", name)
    return call.store.files[name]
