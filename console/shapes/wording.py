"""Pydantic's findings in the words of whoever calls the API. No sentence repeats a value."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from pydantic import BaseModel

from tollhouse.policy.problems import suggestion
from tollhouse.policy.wording import KEY, fields_of

_PLAIN = re.compile(r"[a-z]+(_[a-z]+){0,5}")
_EXPECTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a number",
    "decimal_type": "a number",
    "is_instance_of": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
}
_FOUND: tuple[tuple[type, str], ...] = (
    (str, "text"),
    (bool, "true or false"),  # before int, which it is one of
    (int, "a number"),
    (Decimal, "a number with a point"),
    (list, "a list"),
    (dict, "an object"),
)
_BOUNDS = {
    "greater_than_equal": ("must be at least", "ge"),
    "greater_than": ("must be more than", "gt"),
    "less_than_equal": ("must be at most", "le"),
    "too_short": ("needs at least", "min_length"),
    "too_long": ("has too many: at most", "max_length"),
    "string_too_long": ("is too long: characters, at most", "max_length"),
}


def sentence_of(shape: type[BaseModel] | None, finding: Mapping[str, Any]) -> tuple[str, str]:
    """The field at fault, dotted ("" is the whole), and what is wrong with it."""
    path = tuple(part for part in finding["loc"] if part != KEY)
    param = ".".join(map(_part, path))
    if finding["type"] == "extra_forbidden":
        near = suggestion(str(path[-1]), fields_of(shape, path[:-1]))
        return param, f"unknown field '{param}'{near}"
    if finding["type"] == "missing" and not param:
        return param, "the body is empty: send a JSON object"
    if finding["type"] == "missing":
        return param, f"the field '{param}' is missing"
    subject = f"'{param}'" if param else "the body"
    return param, f"{subject} {_predicate(finding)}"


def _part(part: str | int) -> str:
    # The caller's names may be anything, a key too.
    is_plain = isinstance(part, int) or _PLAIN.fullmatch(part)
    return str(part) if is_plain else "…"


def _predicate(finding: Mapping[str, Any]) -> str:
    kind, context, value = finding["type"], finding.get("ctx", {}), finding.get("input")
    if kind == "policy":
        return str(finding["msg"])
    if value is None:
        return "is null: give a value, or leave it out"
    if kind in _EXPECTED:
        found = next((words for each, words in _FOUND if isinstance(value, each)), "that")
        return f"must be {_EXPECTED[kind]}, not {found}"
    if kind in _BOUNDS:
        words, bound = _BOUNDS[kind]
        return f"{words} {context[bound]}"
    if kind == "literal_error":
        return f"must be {context['expected']}"
    return "is not valid here"
