"""Money as exact integers, what one request used, and what that costs."""

from tollhouse.money.amounts import (
    NANO_PER_USD,
    format_usd,
    nano_per_million,
    nano_to_decimal,
    nano_to_usd,
    usd_to_nano,
)
from tollhouse.money.price import DEFAULT_VARIANT, Price
from tollhouse.money.rates import (
    STANDS_IN,
    TOKENS_PER_PRICE,
    UNSTATED,
    Labels,
    Rates,
    Step,
    TokenPrice,
)
from tollhouse.money.usage import COUNTS, PARTS, Usage

__all__ = [
    "COUNTS",
    "DEFAULT_VARIANT",
    "NANO_PER_USD",
    "PARTS",
    "STANDS_IN",
    "TOKENS_PER_PRICE",
    "UNSTATED",
    "Labels",
    "Price",
    "Rates",
    "Step",
    "TokenPrice",
    "Usage",
    "format_usd",
    "nano_per_million",
    "nano_to_decimal",
    "nano_to_usd",
    "usd_to_nano",
]
