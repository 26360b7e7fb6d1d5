"""What all shapes share: strict models, and the types of single values."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any, NoReturn

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from tollhouse.policy import rules
from tollhouse.policy.field_types import AliasName, KeyId, Line, Name

__all__ = ["AliasName", "KeyId", "Line", "Name"]

_MOST_SELECTORS = 1000
_LONGEST_SELECTOR = 160
_MOST_DIGITS = 18
_LARGEST_NUMBER = 2**53  # JSON readers that know doubles only are exact up to here
_LONGEST_MOMENT = 40
_LOOKS_LIKE_KEY = re.compile(rf"\b(?:{'|'.join(rules.KEY_PREFIXES)})[A-Za-z0-9_-]{{16,}}")
_USD = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?", re.ASCII)


class Shape(BaseModel):
    """A request or an answer. Unknown fields are errors; nothing is converted."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True
    )

    @property
    def asked(self) -> dict[str, Any]:
        """The fields that the request has, null included: in a PATCH null is not absence."""
        fields = type(self).model_fields
        return {name: getattr(self, name) for name in fields if name in self.model_fields_set}


class Written(Shape):
    """What every answer about one thing has."""

    etag: str
    """Of its definition as written; send it in If-Match to change nothing else."""
    warnings: list[str] = []
    """What was done, and did not go as it should: a git commit that failed."""


class Deleted(Shape):
    """The answer to DELETE."""

    id: str
    """What was deleted: a key or token id, a team, team/project, an alias."""
    deleted: bool = True
    warnings: list[str] = []
    """As of other answers."""


def refuse(message: str) -> NoReturn:
    """The message completes the sentence "'<field>' …" and repeats no value."""
    raise PydanticCustomError("policy", message)


def _decimal_text(value: object) -> object:
    """Money may come as text, for languages whose JSON knows doubles only."""
    if not isinstance(value, str):
        return rules.decimal(value)
    if not _USD.fullmatch(value):
        refuse("must be USD, 0 or more, with at most nine decimals")
    return Decimal(value)


def as_number(amount: int | Decimal) -> int | float:
    """As JSON has numbers; of an amount of money below 2**22 USD, exactly."""
    # Doubles below 2**22 are less than a nano-dollar apart, so the shortest text of the nearest
    # one is the amount itself. Budgets end at 4,000,000.
    return int(amount) if amount % 1 == 0 else float(amount)


def _usd(most: int) -> tuple[Any, ...]:
    number = {"type": "number", "minimum": 0, "maximum": most}
    text = {"type": "string", "pattern": r"^[0-9]{1,7}(\.[0-9]{1,9})?$"}
    return (
        BeforeValidator(rules.usd),
        BeforeValidator(_decimal_text),
        Field(le=most),
        PlainSerializer(as_number, return_type=int | float, when_used="json"),
        WithJsonSchema({"anyOf": [number, text]}, mode="validation"),
        WithJsonSchema(number, mode="serialization"),
    )


SpendUsd = Annotated[Decimal, *_usd(4_000_000)]
"""An amount of a budget: a JSON number or its text, exact to the nano-dollar."""
PriceUsd = Annotated[Decimal, *_usd(10_000)]
"""USD per million tokens."""


def _selector(value: str) -> str:
    if not 1 <= len(value) <= _LONGEST_SELECTOR or not value.isprintable():
        refuse(f"must be a name, tag:NAME, group:NAME or a pattern, at most {_LONGEST_SELECTOR}")
    return value


Selector = Annotated[
    str,
    AfterValidator(_selector),
    WithJsonSchema(
        {
            "type": "string",
            "minLength": 1,
            "maxLength": _LONGEST_SELECTOR,
            "examples": ["gpt4_limited", "tag:cheap", "group:chat", "gpt4_*"],
        }
    ),
]
"""What a list of models holds."""
Selectors = Annotated[list[Selector], Field(max_length=_MOST_SELECTORS)]


def metadata_value(value: object) -> object:
    """Text, a number or a boolean; numbers stay as they were written."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int | Decimal):
        return _number(value)
    text = rules.metadata_value(value)
    return without_key(text) if isinstance(text, str) else text


def without_key(text: str) -> str:
    """Text for logs, which people paste the key into that they write of."""
    if text.startswith(rules.KEY_PREFIXES) or _LOOKS_LIKE_KEY.search(text):
        refuse("looks like a key, and metadata is logged: name the key by its id")
    return text


def _number(value: int | Decimal) -> int | Decimal:
    if not -_LARGEST_NUMBER <= value <= _LARGEST_NUMBER or not _is_short(value):
        refuse("must be a number up to 2**53 with at most nine decimals")
    return value


def _is_short(value: int | Decimal) -> bool:
    return isinstance(value, int) or (
        _exponent(value) >= -9 and len(value.as_tuple().digits) <= _MOST_DIGITS
    )


def _exponent(value: Decimal) -> int:
    exponent = value.as_tuple().exponent
    return exponent if isinstance(exponent, int) else 0


def _plain_number(value: Any) -> Any:
    return as_number(value) if isinstance(value, Decimal) else value


MetadataValue = Annotated[
    str | bool | int | Decimal,
    BeforeValidator(metadata_value),
    PlainSerializer(_plain_number, return_type=str | bool | int | float, when_used="json"),
    WithJsonSchema({"type": ["string", "number", "boolean"]}),
]


def _moment(value: object) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= _LONGEST_MOMENT:
        refuse("must be a date, a time such as 2030-12-31T18:00:00Z, or a duration such as 30d")
    return value


When = Annotated[
    str,
    BeforeValidator(_moment),
    WithJsonSchema({"type": "string", "examples": ["30d", "2030-12-31", "2030-12-31T18:00:00Z"]}),
]
"""A date (through its last second), a time, or how long from now."""
