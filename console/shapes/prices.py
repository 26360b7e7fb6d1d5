"""Prices in USD: every field that models.yaml has for one, as it is asked for and shown."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from console.shapes.base import PriceUsd, Shape
from tollhouse.policy import price_rules
from tollhouse.policy.field_types import TierName, Tokens


class RatesOf(Shape):
    """Per million tokens of each kind. In a PATCH null removes one."""

    input_per_million: PriceUsd | None = None
    """Required, as output is, unless other units are charged."""
    output_per_million: PriceUsd | None = None
    """Reasoning included."""
    cached_input_per_million: PriceUsd | None = None
    """Read from a prompt cache; default: what input costs."""
    cache_write_per_million: PriceUsd | None = None
    """Written to a prompt cache; default: what input costs."""
    cache_write_1h_per_million: PriceUsd | None = None
    """Written for an hour; default: what other cache writes cost."""
    input_audio_per_million: PriceUsd | None = None
    """Default: what input costs."""
    output_audio_per_million: PriceUsd | None = None
    """Default: what output costs."""
    input_image_per_million: PriceUsd | None = None
    """Default: what input costs."""
    output_image_per_million: PriceUsd | None = None
    """Default: what output costs."""


class StepOf(RatesOf):
    """Rates of a whole call that has a long input."""

    above_input_tokens: Tokens
    """The whole call costs these rates once its input has more tokens than this."""


Steps = Annotated[list[StepOf], AfterValidator(price_rules.rising), Field(max_length=8)]


class TierOf(RatesOf):
    """Rates of one service tier; what it does not state costs as usual."""

    long_context: Steps | None = None
    """By rising above_input_tokens. In a PATCH: instead of those before."""


def _by_variant(value: object) -> object:
    """A number is the price of every image."""
    return value if value is None or isinstance(value, dict) else {"default": value}


_NUMBER = {"type": "number", "minimum": 0, "maximum": price_rules.DEAREST}
_TEXT = {"type": "string", "pattern": r"^[0-9]{1,5}(\.[0-9]{1,9})?$"}
_VARIANTS = {
    "type": "object",
    "additionalProperties": {"anyOf": [_NUMBER, _TEXT]},
    "required": ["default"],
}
ImagePrices = Annotated[
    dict[Annotated[str, AfterValidator(price_rules.image_variant)], PriceUsd],
    BeforeValidator(_by_variant),
    AfterValidator(price_rules.dearest_default),
    WithJsonSchema({"anyOf": [_NUMBER, _TEXT, _VARIANTS]}, mode="validation"),
]


class PriceOf(TierOf):
    """What is charged for a call: the sum of all that is stated. In a PATCH what is left out stays,
    in service tiers too, and null removes."""

    service_tiers: dict[TierName, TierOf | None] | None = None
    """By the name that the provider says it used, such as flex or priority."""
    per_image: ImagePrices | None = None
    """For each image made: an amount, or by "QUALITY SIZE" with a `default` that is the dearest.
    In a PATCH: instead of those before."""
    per_minute: PriceUsd | None = None
    """Of sound listened to."""
    per_hour: PriceUsd | None = None
    """Of sound listened to, instead of per_minute."""
    minimum_audio_seconds: Annotated[int, Field(ge=0, le=3600)] | None = None
    """That a call with any sound is charged at least."""
    per_million_characters: PriceUsd | None = None
    """Spoken."""
    per_thousand_searches: PriceUsd | None = None
    """Search units of rerank."""
    per_request: PriceUsd | None = None
    """For each call."""
