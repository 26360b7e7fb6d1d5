"""Pydantic's findings in the words of whoever edits the policy."""

import re
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from tollhouse.policy.documents import Document, Path
from tollhouse.policy.problems import PolicyProblem, suggestion

KEY = "[key]"  # pydantic's last location element when a mapping's key is at fault
_FEW = 6
_EXPECTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "decimal_type": "a number",
    "is_instance_of": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
}
_FOUND: tuple[tuple[type, str], ...] = (
    (str, "text"),
    (bool, "true or false"),  # before int, which it is one of
    (int, "a number"),
    (Decimal, "a number with a point"),
    (date, "a date"),
    (list, "a list"),
    (dict, "a mapping"),
)
_RANGE = {
    "greater_than_equal": ("at least", "ge"),
    "greater_than": ("more than", "gt"),
    "less_than_equal": ("at most", "le"),
}


def problems_of(
    document: Document, model: type[BaseModel], error: ValidationError
) -> list[PolicyProblem]:
    """One problem for each finding, at the position of what it is about; none for the lack of what
    was removed from the document."""
    # Neither urls nor inputs: a message must not be able to carry a secret.
    details = error.errors(include_url=False)
    return [
        _problem(document, model, detail)
        for detail in details
        if document.as_written(detail["loc"]) not in document.removed
    ]


def _problem(document: Document, model: type[BaseModel], detail: ErrorDetails) -> PolicyProblem:
    path, kind = detail["loc"], detail["type"]
    if kind == "extra_forbidden":
        near = suggestion(str(path[-1]), fields_of(model, path[:-1]))
        return document.problem(path, f"unknown field '{path[-1]}'{near}", at_key=True)
    if path and path[-1] == KEY:
        return document.problem(path[:-1], _sentence(path[:-1], detail), at_key=True)
    if kind == "missing":
        return document.problem(path, f"the field '{path[-1]}' is missing")
    return document.problem(path, _sentence(path, detail))


def _sentence(path: Path, detail: ErrorDetails) -> str:
    return f"{_subject(path)} {_predicate(detail)}"


def _subject(path: Path) -> str:
    if not path:
        return "the file"
    if isinstance(path[-1], int):
        return f"item {path[-1] + 1} of '{path[-2]}'"
    return f"'{path[-1]}'"


def _predicate(detail: ErrorDetails) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "policy":
        return detail["msg"]
    if detail["input"] is None:
        return "has no value: write one or remove the line"
    if kind in _EXPECTED:
        return _type_mismatch(_EXPECTED[kind], detail["input"])
    if kind in _RANGE:
        words, bound = _RANGE[kind]
        return f"must be {words} {context[bound]}"
    return _other(kind, context, detail["input"])


def _type_mismatch(expected: str, value: Any) -> str:
    found = next(words for kind, words in _FOUND if isinstance(value, kind))
    hint = ""
    if expected == "text" and isinstance(value, bool):
        hint = " (YAML reads a bare yes, no, on or off so: put it in quotes)"
    elif expected == "text" and not isinstance(value, list | dict):
        hint = ": put it in quotes"
    return f"must be {expected}, not {found}{hint}"


def _other(kind: str, context: Mapping[str, Any], value: Any) -> str:
    if kind == "literal_error":
        return _none_of(re.findall("'([^']*)'", context["expected"]), context["expected"], value)
    if kind == "too_short":
        return "is empty: write at least one"
    if kind == "too_long":
        return f"has too many: write at most {context['max_length']}"
    return f"is not valid here ({kind})"


def _none_of(names: list[str], expected: str, value: Any) -> str:
    if len(names) <= _FEW or not isinstance(value, str):
        return f"must be {expected}"
    return f"names none that there is{suggestion(value, names)}"


def fields_of(annotation: Any, path: Path) -> list[str]:
    """The field names of the model at `path`, found by walking the annotations."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        fields = annotation.model_fields
        if not path:
            return list(fields)
        # What is found inside of something that should not be there has no field.
        field = fields.get(str(path[0]))
        return fields_of(field.annotation, path[1:]) if field else []
    for argument in get_args(annotation):
        if isinstance(argument, type) and issubclass(argument, BaseModel):
            # A list or mapping of models holds them one step down; an optional model is a leaf.
            return fields_of(argument, path[1:])
    return []
