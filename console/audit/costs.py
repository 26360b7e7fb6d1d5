"""What a line of the access log costs, as SQL: the arithmetic of `tollhouse.money.Price.cost`.

Of docs/prices.md: the macros take a `usage` and a `price` as the log has them.
"""

from __future__ import annotations

from typing import Final

from ratelimit_service.ledger.types import LARGEST_AMOUNT
from tollhouse.money import COUNTS, NANO_PER_USD, STANDS_IN

_RATES: Final = ("input", "output", *STANDS_IN)
_LABELS: Final = ", ".join(f"{rate}_per_million VARCHAR" for rate in _RATES)
_STEPS: Final = f"long_context MAP(VARCHAR, STRUCT({_LABELS}))"
_UNITS: Final = (
    "per_hour",
    "minimum_audio_milliseconds",
    "per_million_characters",
    "per_thousand_searches",
    "per_request",
)

PRICE: Final = (
    f"STRUCT({_LABELS}, {_STEPS}, service_tiers MAP(VARCHAR, STRUCT({_LABELS}, {_STEPS})),"
    f" per_image MAP(VARCHAR, VARCHAR), {', '.join(f'{unit} VARCHAR' for unit in _UNITS)})"
)
# Protobuf's numbers are doubles.
USAGE: Final = (
    f"STRUCT({', '.join(f'{name} DOUBLE' for name in COUNTS)}, usage_source VARCHAR,"
    " service_tier VARCHAR, image_variant VARCHAR)"
)


def _rate(name: str) -> str:
    """A rate or what stands in for it, as text."""
    named = [f"r.{name}_per_million"]
    while name in STANDS_IN:
        name = STANDS_IN[name]
        named.append(f"r.{name}_per_million")
    return f"coalesce({', '.join(named)})"


def _packed(of: str) -> str:
    fields = ", ".join(f"{rate}_per_million := {of}.{rate}_per_million" for rate in _RATES)
    return f"struct_pack({fields})"


def _tokens(total: str, **parts: str) -> str:
    """The tokens of one direction, by their rates."""
    special = " + ".join(f"counted(u.{part})" for part in parts)
    rest = f"greatest(counted(u.{total}_tokens) - ({special}), 0) * nano({_rate(total)})"
    return " + ".join(
        [rest, *(f"counted(u.{part}) * nano({_rate(rate)})" for part, rate in parts.items())]
    )


_INPUT: Final = {
    "cached_input_tokens": "cached_input",
    "cache_write_tokens": "cache_write",
    "cache_write_1h_tokens": "cache_write_1h",
    "input_audio_tokens": "input_audio",
    "input_image_tokens": "input_image",
}
_OUTPUT: Final = {"output_audio_tokens": "output_audio", "output_image_tokens": "output_image"}
# The least common multiple of the units, as in tollhouse.money.price.
_COMMON: Final = 18_000_000

MACROS: Final = (
    # As ratelimit_service.settlement.read_usage.
    f"counted(x) AS CAST(floor(least(greatest(coalesce(x, 0), 0), {LARGEST_AMOUNT})) AS HUGEINT)",
    "nano(usd) AS coalesce(CAST(TRY_CAST(usd AS DECIMAL(28, 9))"
    f" * CAST({NANO_PER_USD} AS DECIMAL(10, 0)) AS HUGEINT), 0)",
    "step(steps, tokens) AS steps[CAST(list_max(list_filter(list_transform(map_keys(steps),"
    " lambda k: TRY_CAST(k AS BIGINT)), lambda k: k < tokens)) AS VARCHAR)]",
    "rates(price, tier, tokens) AS CASE WHEN price.service_tiers[tier] IS NULL"
    f" THEN coalesce(step(price.long_context, tokens), {_packed('price')})"
    " ELSE coalesce(step(price.service_tiers[tier].long_context, tokens),"
    f" {_packed('price.service_tiers[tier]')}) END",
    # A list of one, so that the rates are found once.
    "tokens_cost(u, price) AS list_transform("
    "[rates(price, coalesce(u.service_tier, ''), counted(u.input_tokens))],"
    f" lambda r: {_tokens('input', **_INPUT)} + {_tokens('output', **_OUTPUT)})[1]",
    "heard(u, price) AS CASE WHEN counted(u.audio_milliseconds) = 0 THEN 0 ELSE"
    " greatest(counted(u.audio_milliseconds),"
    " coalesce(TRY_CAST(price.minimum_audio_milliseconds AS HUGEINT), 0)) END",
    "image(u, price) AS nano(coalesce(price.per_image[u.image_variant],"
    " price.per_image['default']))",
    "total(u, price) AS tokens_cost(u, price) * 18"
    " + heard(u, price) * nano(price.per_hour) * 5"
    " + counted(u.characters) * nano(price.per_million_characters) * 18"
    " + counted(u.search_units) * nano(price.per_thousand_searches) * 18000"
    f" + (counted(u.images) * image(u, price) + nano(price.per_request)) * {_COMMON}",
    f"cost(u, price) AS (total(u, price) + {_COMMON - 1}) // {_COMMON}",
)
"""To be created in this order, as `CREATE TEMP MACRO …`."""
