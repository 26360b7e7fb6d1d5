"""Models, which are aliases: what can be asked of them, and how they are shown."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, WithJsonSchema

from console.shapes.base import (
    AliasName,
    Line,
    Name,
    PriceUsd,
    Shape,
    Written,
    metadata_value,
    refuse,
)
from console.shapes.limits import Amount, Limits
from tollhouse.endpoints import Endpoint
from tollhouse.policy import rules
from tollhouse.policy.files import ParameterName, Tokens


def _default(value: Any) -> Any:
    try:
        rules.json_text(value).encode("utf-8")
        _require_plain(value)
    except (UnicodeEncodeError, ArithmeticError):
        refuse("must be a value that JSON knows, in numbers and text that a file can hold")
    return value


def _require_plain(value: Any) -> None:
    """Raises UnicodeEncodeError, and ArithmeticError for numbers that are no double."""
    if isinstance(value, str):
        value.encode("utf-8")
    elif isinstance(value, int | Decimal) and not isinstance(value, bool):
        metadata_value(value)
    elif isinstance(value, dict | list):
        for inner in (*value, *value.values()) if isinstance(value, dict) else value:
            _require_plain(inner)


def _as_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _as_json(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_as_json(each) for each in value]
    return float(value) if isinstance(value, Decimal) else value


Default = Annotated[
    Any,
    BeforeValidator(_default),
    PlainSerializer(_as_json, when_used="json"),
    WithJsonSchema({"type": ["string", "number", "boolean", "array", "object"]}),
]
"""Any JSON value but null."""


def _distinct(values: list[str]) -> list[str]:
    return values if len(set(values)) == len(values) else refuse("names one twice")


Endpoints = Annotated[list[Endpoint], Field(min_length=1), AfterValidator(_distinct)]
Tags = Annotated[list[Name], Field(max_length=100)]
Defaults = Annotated[dict[ParameterName, Default], Field(max_length=64)]


class PriceOf(Shape):
    """USD per million tokens, as it is written."""

    input_per_million: PriceUsd
    output_per_million: PriceUsd
    cached_input_per_million: PriceUsd | None = None
    """Default: what input costs."""


class ModelCreate(Shape):
    """A new alias."""

    alias: AliasName
    """The name that teams use; may contain / and :."""
    provider: Name
    """A provider of the policy."""
    model: Line
    """The provider's name for the model."""
    description: Line | None = None
    endpoints: Endpoints | None = None
    """Default: chat/completions."""
    limits: Limits = Limits()
    """For the alias, all teams together."""
    defaults: Defaults = Field(default={})
    """Parameters to set where the caller sets nothing."""
    max_output_tokens: Tokens | None = None
    """Sent when the caller gives none; clamps what is larger."""
    max_tokens_per_media: Tokens | None = None
    """Bound of one image, file or sound, for reservations; default 48169."""
    max_tokens_for_tools: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    """What a provider adds to the prompt when tools are given; default 1024."""
    max_input_tokens: Tokens | None = None
    """The context window."""
    price: PriceOf | None = None
    """Default: the public price list."""
    tags: Tags = Field(default=[])
    """For tag:NAME in lists of models."""


class ModelPatch(Shape):
    """What is left out stays; null puts the default back."""

    provider: Name | None = None
    model: Line | None = None
    description: Line | None = None
    endpoints: Endpoints | None = None
    limits: Limits | None = None
    """Merged: null removes one; null for the whole removes all."""
    defaults: Defaults | None = None
    """Instead of those before."""
    max_output_tokens: Tokens | None = None
    max_tokens_per_media: Tokens | None = None
    max_tokens_for_tools: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    max_input_tokens: Tokens | None = None
    price: PriceOf | None = None
    """Instead of that before; null: the public price list."""
    tags: Tags | None = None


class UnitPrices(Shape):
    """USD per million tokens."""

    input: Amount
    output: Amount
    cached_input: Amount


class ModelView(Written):
    """An alias."""

    alias: str
    provider: str
    model: str
    description: str | None
    endpoints: list[Endpoint]
    limits: Limits
    """As written, all teams together."""
    defaults: dict[str, Annotated[Any, PlainSerializer(_as_json, when_used="json")]]
    max_output_tokens: int | None
    max_tokens_per_media: int
    max_tokens_for_tools: int
    max_input_tokens: int | None
    price_per_million: UnitPrices | None
    """Null: unknown; then it cannot be used where a spend limit applies."""
    price_source: Literal["policy", "genai-prices"] | None
    tags: list[str]
    groups: list[str]
    """For group:NAME in lists of models."""
    keys: int
    """How many keys may call it, of those that the asker sees."""
    where: str
    """file:line in the policy."""


class ModelQuery(Shape):
    """Which models to list, and which page of them."""

    provider: str | None = None
    tag: str | None = None
    q: Annotated[str, Field(max_length=200)] | None = None
    """Part of an alias, model or description, in any case."""
    limit: Annotated[int, Field(ge=1, le=500, strict=False)] = 50
    after: Annotated[str, Field(max_length=1000)] | None = None
    """`next` of the page before."""


class ModelList(Shape):
    """One page."""

    data: list[ModelView]
    next: str | None = None
