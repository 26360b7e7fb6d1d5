"""The public price list that genai-prices bundles, in our units."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from decimal import Decimal

from genai_prices import Usage, calc_price
from genai_prices.types import (
    ModelPrice,
    PriceCalculation,
    TieredPrices,
    TimeOfDateConstraint,
)

from tollhouse.money import usd_to_nano
from tollhouse.policy.curves import ALWAYS, Curve, Stated

_TOKENS = {
    "input_mtok": "input",
    "output_mtok": "output",
    "cache_read_mtok": "cached_input",
    "cache_write_mtok": "cache_write",
    "cache_write_1h_mtok": "cache_write_1h",
    "input_audio_mtok": "input_audio",
    "output_audio_mtok": "output_audio",
    "input_image_mtok": "input_image",
    "output_image_mtok": "output_image",
}
# audio_hours is of sound in either direction, which no answer of the endpoints here reports; where
# both are stated they are the same, and what is heard is charged.
_UNITS = {
    "input_audio_hours": ("per_hour", 1),
    "input_mchars": ("per_million_characters", 1),
    "requests_kcount": ("per_request", 1000),
}
_SAID_TWICE = {"audio_hours": "input_audio_hours"}
# Tools that are charged apart cannot be run up under a hard budget (docs/reservation.md); no answer
# tells which of the tokens read from a cache were of sound or of pictures.
_LEFT_OUT = frozenset(
    {
        "web_searches_kcount",
        "storage_searches_kcount",
        "cache_audio_read_mtok",
        "cache_image_read_mtok",
    }
)
# Its models search unasked.
_SEARCHING = "perplexity"
# https://groq.com/pricing: transcriptions are billed for ten seconds at least. genai-prices knows
# that of these two models.
_TEN_SECONDS = {("groq", "whisper-large-v3"), ("groq", "whisper-large-v3-turbo")}


class NoPublicPrice(Exception):
    """The message completes the sentence "… needs a price, for …"."""


def public_price(provider_name: str, base_url: str, model: str, now: datetime) -> Stated:
    """What the list says of a model at `now` (aware). Raises NoPublicPrice."""
    found = _look_up(provider_name, base_url, model, now)
    if found is None:
        raise NoPublicPrice("the public price list does not know this model")
    if _by_the_hour(found):
        raise NoPublicPrice("its public price depends on the time of day")
    stated = _rates(found.model_price)
    searches = found.provider.id == _SEARCHING and "web_searches_kcount" in stated
    unknown = sorted(stated.keys() - _TOKENS.keys() - _UNITS.keys() - _LEFT_OUT)
    if unknown or searches:
        name = unknown[0] if unknown else "web_searches_kcount"
        raise NoPublicPrice(f"its public price has {name}, which is not counted here")
    return Stated(
        usual=_curves(stated),
        tiers={tier: _curves(own) for tier, own in _tiers(found, now).items()},
        units=_units(stated, found),
    )


def _look_up(
    provider_name: str, base_url: str, model: str, now: datetime
) -> PriceCalculation | None:
    """By URL, which says who bills; by name for a provider reached through another address."""
    nothing = Usage(input_tokens=0, output_tokens=0)
    with suppress(LookupError, ValueError):
        return calc_price(nothing, model, provider_api_url=base_url, genai_request_timestamp=now)
    with suppress(LookupError, ValueError):
        return calc_price(nothing, model, provider_id=provider_name, genai_request_timestamp=now)
    return None


def _by_the_hour(found: PriceCalculation) -> bool:
    conditional = found.model.prices if isinstance(found.model.prices, list) else []
    constraints = [
        *(each.constraint for each in conditional),
        *(each.constraint for each in found.model.price_variants or []),
    ]
    return any(isinstance(each, TimeOfDateConstraint) for each in constraints)


def _rates(price: ModelPrice) -> dict[str, Decimal | TieredPrices]:
    rates = {name: rate for name, rate in vars(price).items() if rate is not None}
    for twice, once in _SAID_TWICE.items():
        if rates.get(twice) == rates.get(once):
            rates.pop(twice, None)
    return rates


def _tiers(found: PriceCalculation, now: datetime) -> dict[str, dict[str, Decimal | TieredPrices]]:
    """Of each service tier with a price of its own, what differs. A provider that sells another
    one's models has the usual prices only."""
    if not any(found.model is each for each in found.provider.models):
        return {}
    usual = _rates(found.model_price)
    names = {each.when.get("service_tier", "") for each in found.model.price_variants or []}
    return {
        name: {
            rate: value
            for rate, value in _rates(found.model.get_prices(now, {"service_tier": name})).items()
            if usual.get(rate) != value
        }
        for name in names - {""}
    }


def _curves(stated: Mapping[str, Decimal | TieredPrices]) -> dict[str, Curve]:
    return {_TOKENS[name]: _curve(rate) for name, rate in stated.items() if name in _TOKENS}


def _curve(rate: Decimal | TieredPrices) -> Curve:
    if isinstance(rate, TieredPrices):
        return {ALWAYS: rate.base, **{tier.start: tier.price for tier in rate.tiers}}
    return {ALWAYS: rate}


def _units(stated: Mapping[str, Decimal | TieredPrices], found: PriceCalculation) -> dict[str, int]:
    units = {}
    for name, (unit, divided_by) in _UNITS.items():
        rate = stated.get(name)
        if isinstance(rate, TieredPrices):
            raise NoPublicPrice(f"its public price has steps of {name}")
        if rate is not None:
            units[unit] = usd_to_nano(rate / divided_by)
    if (found.provider.id, found.model.id) in _TEN_SECONDS:
        units["minimum_audio_milliseconds"] = 10_000
    return units
