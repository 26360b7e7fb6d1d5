"""Models, which are aliases: what can be asked of them, and how they are shown."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, WithJsonSchema

from console.shapes.base import (
    AliasName,
    Line,
    Name,
    Shape,
    Written,
    metadata_value,
    refuse,
)
from console.shapes.limits import Amount, Limits
from console.shapes.prices import PriceOf
from tollhouse.endpoints import Endpoint
from tollhouse.policy import rules
from tollhouse.policy.field_types import ParameterName, Tokens


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


class DeploymentOf(Shape):
    """One provider's model behind an alias."""

    provider: Name
    """A provider of the policy."""
    model: Line
    """The provider's name for the model."""
    weight: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Its share of the calls among those of the same order; default 1."""
    order: Annotated[int, Field(ge=1, le=100)] | None = None
    """The lowest is asked first; default 1."""
    price: PriceOf | None = None
    """Default: the model's price, else the public price list."""


Deployments = Annotated[list[DeploymentOf], Field(min_length=1, max_length=8)]
Fallbacks = Annotated[list[AliasName], Field(max_length=4), AfterValidator(_distinct)]
Seconds = Annotated[Amount, Field(gt=0, le=3600)]


class ModelCreate(Shape):
    """A new alias."""

    alias: AliasName
    """The name that teams use; may contain / and :."""
    provider: Name | None = None
    """A provider of the policy. Required, unless deployments are given."""
    model: Line | None = None
    """The provider's name for the model. Required beside provider, unless the endpoints are such
    whose model cannot be checked."""
    deployments: Deployments | None = None
    """Several providers' models, in place of provider and model."""
    fallbacks: Fallbacks = Field(default=[])
    """Other aliases, asked in this order when all deployments fail."""
    fallback_after_seconds: Seconds | None = None
    """Seconds of silence after which the next is asked; default: the provider's idle timeout."""
    description: Line | None = None
    endpoints: Endpoints | None = None
    """Default: chat/completions, or messages, by the dialects of the providers."""
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
    """Instead of deployments, with model."""
    model: Line | None = None
    deployments: Deployments | None = None
    """All of them, instead of those before, or of provider and model."""
    fallbacks: Fallbacks | None = None
    """Instead of those before."""
    fallback_after_seconds: Seconds | None = None
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
    """Merged: null removes a field; null for the whole: the public price list."""
    tags: Tags | None = None


class UnitPrices(Shape):
    """USD per million tokens."""

    input: Amount
    output: Amount
    cached_input: Amount


class DeploymentView(Shape):
    """One provider's model behind an alias, with its defaults."""

    provider: str
    model: str
    weight: int
    order: int
    price_per_million: UnitPrices | None
    price: PriceOf | None
    """In force, all of it; a rate that is not there costs what its `Default` says."""
    price_source: Literal["policy", "genai-prices"] | None
    stated_price: PriceOf | None
    """As written for this deployment alone."""


class ModelView(Written):
    """An alias. `provider`, `model` and the price are those of the deployment asked first."""

    alias: str
    provider: str
    model: str
    deployments: list[DeploymentView]
    """All of them, in the order of the file."""
    fallbacks: list[str]
    fallback_after_seconds: Amount | None
    """Null: as long as the provider may be silent."""
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
    price: PriceOf | None
    """In force, all of it; a rate that is not there costs what its `Default` says."""
    price_source: Literal["policy", "genai-prices"] | None
    stated_price: PriceOf | None
    """As written for the model, which a PATCH changes. Null: each deployment's own, or the public
    price list."""
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
