"""Reading a request body's fields, with the errors the real API gives."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tollhouse.simulator.openai import errors


def read_object(body: bytes) -> dict[str, Any]:
    """The body as a JSON object.

    Raises:
        ApiError: 400, it is something else.
    """
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        raise errors.bad_json() from None
    if not isinstance(fields, dict):
        raise errors.bad_json()
    return fields


def read_model(fields: Mapping[str, Any]) -> str:
    """The model's name.

    Raises:
        ApiError: 400, it is missing, empty or not a string.
    """
    model = fields.get("model")
    if model is None or model == "":
        raise errors.missing_model()
    if not isinstance(model, str):
        raise errors.invalid_type("model", "a string", model)
    return model


def read_integer(fields: Mapping[str, Any], name: str, low: int, high: int) -> int | None:
    """An integer of `low`..`high`; None when the field is null or absent.

    Raises:
        ApiError: 400, it is something else.
    """
    value = fields.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        raise errors.invalid_type(name, "an integer", value)
    if not low <= value <= high:
        raise errors.out_of_range(name, value, low, high)
    return value


def read_flag(fields: Mapping[str, Any], name: str, default: bool) -> bool:
    """A boolean; `default` when the field is null or absent.

    Raises:
        ApiError: 400, it is something else.
    """
    value = fields.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise errors.invalid_type(name, "a boolean", value)
    return value


def read_text(fields: Mapping[str, Any], name: str) -> str:
    """A string that must be there.

    Raises:
        ApiError: 400, it is missing or something else.
    """
    value = fields.get(name)
    if value is None:
        raise errors.missing_parameter(name)
    if not isinstance(value, str):
        raise errors.invalid_type(name, "a string", value)
    return value


def read_optional(fields: Mapping[str, Any], name: str, default: str) -> str:
    """A string; `default` when the field is null or absent.

    Raises:
        ApiError: 400, it is something else.
    """
    return default if fields.get(name) is None else read_text(fields, name)
