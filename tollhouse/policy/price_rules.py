"""What the `price` of a policy file may be, beyond its types.

As `tollhouse.policy.rules`: each takes the value, returns it or raises a `PydanticCustomError` of
type "policy", whose message completes the sentence "'<field>' …".
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NoReturn

from pydantic_core import PydanticCustomError

from tollhouse.policy import rules

TIER_PATTERN = "^(?!(auto|default|standard)$)[a-z_]{1,20}$"
_TIER = re.compile(TIER_PATTERN)
_VARIANT = re.compile("default|[A-Za-z0-9_.-]{1,20} [A-Za-z0-9_.-]{1,20}")
DEAREST = 10_000
"""The largest rate, in USD."""

_UNITS = (
    "per_image",
    "per_minute",
    "per_hour",
    "per_million_characters",
    "per_thousand_searches",
    "per_request",
)


def _refuse(message: str) -> NoReturn:
    raise PydanticCustomError("policy", message)


def tier_name(value: str) -> str:
    """A service tier that has rates of its own."""
    if not _TIER.fullmatch(value):
        _refuse(
            "must be a tier as providers name it, such as flex or priority; the rates of the"
            " standard tier are those beside service_tiers"
        )
    return value


def image_prices(value: object) -> object:
    """A number is the price of every image."""
    if isinstance(value, dict):
        return value
    amount = rules.usd(value)
    if not isinstance(amount, Decimal):
        _refuse('must be a number, or a mapping of "QUALITY SIZE" and default to numbers')
    if amount > DEAREST:
        _refuse(f"must be at most {DEAREST}")
    return {"default": amount}


def image_variant(value: str) -> str:
    """ "QUALITY SIZE", or "default"."""
    if not _VARIANT.fullmatch(value):
        _refuse('must be "QUALITY SIZE" as in "hd 1024x1792", or default')
    return value


def dearest_default(prices: dict[str, Decimal]) -> dict[str, Decimal]:
    """A call may ask for a variant that nobody thought of: the default bounds it."""
    if "default" not in prices:
        _refuse("needs a default, for all variants that it does not name")
    if prices["default"] < max(prices.values()):
        _refuse("has a default that is not the dearest: it bounds what a call can cost")
    return prices


def rising(steps: list[Any]) -> list[Any]:
    """Steps of `long_context`."""
    above = [each.above_input_tokens for each in steps]
    if above != sorted(set(above)):
        _refuse("must have rising above_input_tokens")
    return steps


def charged(price: Mapping[str, object]) -> None:
    """What a price states by name, as a whole."""
    both = {"input_per_million", "output_per_million"} <= price.keys()
    either = {"input_per_million", "output_per_million"} & price.keys()
    units = [unit for unit in _UNITS if unit in price]
    if not both and (either or not units):
        _refuse(
            "needs input_per_million and output_per_million, or another unit alone:"
            f" {', '.join(_UNITS)}"
        )
    if {"per_minute", "per_hour"} <= price.keys():
        _refuse("has per_minute and per_hour: write one of them")
    if "minimum_audio_seconds" in price and not {"per_minute", "per_hour"} & price.keys():
        _refuse("has minimum_audio_seconds: it needs per_minute or per_hour")
