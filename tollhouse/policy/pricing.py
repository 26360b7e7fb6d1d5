"""Prices for aliases: what the policy states, else the public list that genai-prices bundles."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal

from genai_prices import Usage, calc_price
from genai_prices.types import PriceCalculation, TimeOfDateConstraint

from tollhouse.money import Price, nano_per_million
from tollhouse.policy.files import ModelFile, PriceFile, ProviderFile

# Rates of the public list that a call through the gateway cannot run up: tools that are charged
# apart, and prompt caching that a caller has to ask for in another dialect than OpenAI's.
_OTHER_PRODUCTS = frozenset(
    {"web_searches_kcount", "storage_searches_kcount", "cache_write_mtok", "cache_write_1h_mtok"}
)
_TOKEN_RATES = frozenset({"input_mtok", "output_mtok", "cache_read_mtok"})


@dataclass(frozen=True, slots=True)
class Pricing:
    """A price and where it is from, or why there is none."""

    price: Price | None = None
    source: Literal["policy", "genai-prices"] | None = None
    missing_because: str = ""


_NOT_FLAT = Pricing(
    missing_because="its public price is not one rate each for input, output and cached input"
)


def pricing_of(
    provider_name: str, provider: ProviderFile, alias: ModelFile, now: datetime
) -> Pricing:
    """The price in force at `now` (an aware datetime) for one alias."""
    if alias.price is not None:
        return Pricing(_from_policy(alias.price), "policy")
    return _public(provider_name, provider.base_url, alias, now)


def _from_policy(stated: PriceFile) -> Price:
    cached = stated.cached_input_per_million
    return _price(
        stated.input_per_million,
        stated.output_per_million,
        stated.input_per_million if cached is None else cached,
    )


def _price(input_usd: Decimal, output_usd: Decimal, cached_usd: Decimal) -> Price:
    return Price(
        input=nano_per_million(input_usd),
        output=nano_per_million(output_usd),
        cached_input=nano_per_million(cached_usd),
    )


def _public(provider_name: str, base_url: str, alias: ModelFile, now: datetime) -> Pricing:
    found = _look_up(provider_name, base_url, alias.model or "", now)
    if found is None:
        return Pricing(missing_because="the public price list does not know this model")
    conditional = found.model.prices if isinstance(found.model.prices, list) else []
    rates = {name: rate for name, rate in vars(found.model_price).items() if rate is not None}
    if any(isinstance(each.constraint, TimeOfDateConstraint) for each in conditional):
        return _NOT_FLAT
    return _flat(rates, embeddings_only=alias.endpoints == ["embeddings"])


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


def _flat(rates: dict[str, object], *, embeddings_only: bool) -> Pricing:
    """One rate each for input, output and cached input, or nothing: a budget needs certainty."""
    plain = {name: rate for name, rate in rates.items() if isinstance(rate, Decimal)}
    if plain.keys() != rates.keys() or not rates.keys() <= _TOKEN_RATES | _OTHER_PRODUCTS:
        return _NOT_FLAT
    if embeddings_only:
        plain.setdefault("output_mtok", Decimal(0))
    try:
        given, output = plain["input_mtok"], plain["output_mtok"]
        price = _price(given, output, plain.get("cache_read_mtok", given))
    except (KeyError, ValueError):
        return _NOT_FLAT
    return Pricing(price, "genai-prices")
