"""Requests as they arrive, read into shapes; what is wrong with one is said in a sentence.

Numbers with a point become `Decimal`: no amount of money passes through a float.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError

from console.problems import ManageError
from console.shapes.base import Shape
from console.shapes.wording import sentence_of

S = TypeVar("S", bound=Shape)

MOST_BYTES: Final = 1_048_576
"""Of a request's body."""
_DEEPEST = 16
_MOST_NAMED = 5


def read_body(shape: type[S], body: bytes) -> S:
    """The JSON of a request's body; an empty body is an empty object.

    Raises:
        ManageError: `invalid_request`, with the field as `param`; `request_too_large`.
    """
    return read_fields(shape, parsed(body) if body.strip() else {})


def read_fields(shape: type[S], fields: object) -> S:
    """Of a JSON value whose numbers with a point are `Decimal`, or of the fields of a query.

    Raises:
        ManageError: `invalid_request`.
    """
    try:
        return shape.model_validate(fields)
    except ValidationError as error:
        refuse(shape, error.errors(include_url=False, include_input=True))


def refuse(shape: type[BaseModel] | None, found: Sequence[Mapping[str, Any]]) -> NoReturn:
    """The first of pydantic's findings, as a refusal that names the other fields."""
    param, sentence = sentence_of(shape, found[0])
    others = dict.fromkeys(sentence_of(shape, each)[0] for each in found[1:])
    also = _also_wrong([other for other in others if other not in ("", param)])
    raise ManageError("invalid_request", f"{sentence}{also}", param=param or None)


def _also_wrong(params: list[str]) -> str:
    if not params:
        return ""
    named = ", ".join(f"'{param}'" for param in params[:_MOST_NAMED])
    more = f" and {len(params) - _MOST_NAMED} more" if len(params) > _MOST_NAMED else ""
    return f" (also wrong: {named}{more})"


def parsed(body: bytes) -> object:
    if len(body) > MOST_BYTES:
        raise ManageError("request_too_large", f"the body is larger than {MOST_BYTES:,} bytes")
    try:
        return _shallow(_loaded(body.decode("utf-8")))
    except UnicodeDecodeError:
        raise ManageError("invalid_request", "the body is not UTF-8 text") from None
    except RecursionError:
        raise ManageError("invalid_request", "the body is nested too deeply") from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise ManageError("invalid_request", f"the body is not JSON: {place}") from None
    except (ValueError, ArithmeticError):
        # Python refuses to read numbers of thousands of digits.
        raise ManageError("invalid_request", "the body holds a number that is too long") from None


def _loaded(text: str) -> object:
    return json.loads(
        text, parse_float=Decimal, parse_constant=_no_constant, object_pairs_hook=_object
    )


def _shallow(value: object) -> object:
    layer = [value]
    for _ in range(_DEEPEST):
        layer = [inner for each in layer for inner in _inside(each)]
    if layer:
        raise RecursionError
    return value


def _inside(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _no_constant(name: str) -> NoReturn:
    raise ManageError("invalid_request", f"the body is not JSON: {name} is no number of it")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ManageError("invalid_request", "the body names a field twice")
    return found
