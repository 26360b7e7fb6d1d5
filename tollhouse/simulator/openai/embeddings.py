"""POST /embeddings: deterministic unit vectors."""

from __future__ import annotations

import base64
import hashlib
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tollhouse.simulator.call import Call
from tollhouse.simulator.directives import Directives
from tollhouse.simulator.openai import errors, fields
from tollhouse.simulator.reply import Charge, Reply, as_json
from tollhouse.simulator.usage import Counts, text_tokens

DEFAULT_DIMENSIONS = 8
_MAX_DIMENSIONS = 4096
_HALF = 1 << 31

Input = str | tuple[int, ...]


@dataclass(frozen=True, slots=True)
class EmbeddingsRequest:
    """What is asked: texts or token arrays, and how to write their vectors."""

    model: str
    inputs: tuple[Input, ...]
    dimensions: int
    as_base64: bool

    @property
    def counts(self) -> Counts:
        """Tokens of all inputs; nothing is generated."""
        return Counts(input_tokens=sum(map(_tokens, self.inputs)))


def read(body: bytes) -> EmbeddingsRequest:
    """A request from its body.

    Raises:
        ApiError: 400, with the real API's message.
    """
    data = fields.read_object(body)
    return EmbeddingsRequest(
        model=fields.read_model(data),
        inputs=_inputs(data),
        dimensions=fields.read_integer(data, "dimensions", 1, _MAX_DIMENSIONS)
        or DEFAULT_DIMENSIONS,
        as_base64=_wants_base64(data),
    )


def answer(call: Call) -> Reply:
    """One call."""
    request = read(call.body)
    call.check_model(request.model)
    return Reply(body(request, call.asked), charge=Charge(request.model, request.counts))


def body(request: EmbeddingsRequest, asked: Directives) -> bytes:
    """The answer as JSON."""
    data = [
        {"object": "embedding", "index": index, "embedding": _embedding(item, request)}
        for index, item in enumerate(request.inputs)
    ]
    tokens = request.counts.input_tokens
    counted = {"usage": {"prompt_tokens": tokens, "total_tokens": tokens}}
    usage = {} if asked.no_usage else counted
    first, last = (usage, {}) if asked.usage_first else ({}, usage)
    listed = {"object": "list", **first, "data": data, "model": request.model, **last}
    return as_json(listed)


def _inputs(data: Mapping[str, Any]) -> tuple[Input, ...]:
    value = data.get("input")
    if value is None:
        raise errors.missing_parameter("input")
    if isinstance(value, str) or _is_token_array(value):
        value = [value]
    if not isinstance(value, list) or not value:
        raise errors.invalid_input()
    return tuple(map(_one_input, value))


def _one_input(value: object) -> Input:
    if isinstance(value, str) and value:
        return value
    if isinstance(value, list) and _is_token_array(value):
        return tuple(value)
    raise errors.invalid_input()


def _is_token_array(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(type(item) is int for item in value)


def _wants_base64(data: Mapping[str, Any]) -> bool:
    encoding = data.get("encoding_format") or "float"
    if encoding not in ("float", "base64"):
        raise errors.invalid_type("encoding_format", "one of 'float' or 'base64'", encoding)
    return bool(encoding == "base64")


def _tokens(item: Input) -> int:
    return text_tokens((item,)) if isinstance(item, str) else len(item)


def _embedding(item: Input, request: EmbeddingsRequest) -> str | Sequence[float]:
    layout = f"<{request.dimensions}f"
    packed = struct.pack(layout, *_unit_vector(item, request.dimensions))
    # Both encodings come from the same 32-bit floats, so that they agree to the last bit.
    return base64.b64encode(packed).decode() if request.as_base64 else struct.unpack(layout, packed)


def _unit_vector(item: Input, dimensions: int) -> list[float]:
    seed = item.encode("utf-8", "surrogatepass") if isinstance(item, str) else repr(item).encode()
    digest = hashlib.shake_128(seed).digest(4 * dimensions)
    vector = [number / _HALF - 1 for number in struct.unpack(f"<{dimensions}I", digest)]
    length = math.sqrt(sum(value * value for value in vector)) or 1.0
    return [value / length for value in vector]
