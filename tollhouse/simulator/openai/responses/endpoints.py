"""POST /responses, GET and DELETE /responses/{id}."""

from __future__ import annotations

import time
import uuid

from tollhouse.simulator.call import Call
from tollhouse.simulator.generation import called, generate
from tollhouse.simulator.openai import errors
from tollhouse.simulator.openai.chat import served_tier
from tollhouse.simulator.openai.responses import request, stream
from tollhouse.simulator.openai.responses.response import Response, usage
from tollhouse.simulator.reply import EVENTS, Charge, Reply, as_json
from tollhouse.simulator.usage import Counts


def create(call: Call) -> Reply:
    """One call. It is stored, unless the client says not to, before it is sent.

    In the background it is done at once too, and billed, but the answer says that it is queued
    (platform.openai.com/docs/guides/background).
    """
    asked = request.read(call)
    call.check_model(asked.model)
    response = _response(call, asked)
    if asked.store:
        stored = response.finished() | {"usage": usage(response.counts)}
        call.store.responses.keep(response.id, stored)
    charge = Charge(asked.model, response.counts, response.service_tier)
    if asked.body.get("background") is True and not asked.stream:
        return Reply(as_json(response.shown("queued", [])), charge=charge)
    if not asked.stream:
        finished = response.finished()
        if call.asked.usage_first and response.counted:
            finished = {"usage": finished["usage"]} | finished
        return Reply(as_json(finished), charge=charge)
    return Reply(
        stream.events(response),
        EVENTS,
        charge=charge,
        contents=response.said.words,
        failure=lambda sent: _failure(response, sent),
    )


def get(call: Call) -> Reply:
    """A stored response."""
    response_id = call.names["id"]
    if response_id not in call.store.responses:
        raise errors.response_not_found(response_id)
    return Reply(as_json(call.store.responses[response_id]))


def delete(call: Call) -> Reply:
    """Forget a stored response."""
    response_id = call.names["id"]
    if call.store.responses.pop(response_id, None) is None:
        raise errors.response_not_found(response_id)
    return Reply(as_json({"id": response_id, "object": "response", "deleted": True}))


def _response(call: Call, asked: request.ResponsesRequest) -> Response:
    tool = called(asked.tools, asked.forced, call.asked, answered=asked.answered)
    said = generate(call.asked, asked.max_tokens, asked.schema, tool)
    counts = Counts(
        input_tokens=asked.input_tokens,
        cached_input_tokens=call.asked.cached_tokens,
        cache_write_tokens=call.asked.cache_write_tokens,
        output_tokens=said.tokens,
        reasoning_tokens=said.reasoning,
    )
    return Response(
        id=f"resp_{uuid.uuid4().hex}",
        created_at=int(time.time()),
        request=asked,
        said=said,
        counts=counts,
        service_tier=served_tier(asked.service_tier, call.asked),
        counted=not call.asked.no_usage,
    )


def _failure(response: Response, sent: int) -> bytes:
    error = errors.on_demand(500)
    about = {"code": "server_error", "message": error.message}
    failed = response.shown("failed", []) | {"error": about}
    if "usage" in failed:
        failed["usage"] = None
    first = stream.event(sent, "error", {**about, "param": None})
    return first + stream.event(sent + 1, "response.failed", {"response": failed})
