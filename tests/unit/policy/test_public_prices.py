"""A call costs what genai-prices says that it does, rounded up to the nano-dollar."""

from datetime import UTC, datetime
from decimal import ROUND_CEILING, Decimal, localcontext
from functools import cache
from typing import NamedTuple

import genai_prices
import pytest
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ModelInfo, Provider
from hypothesis import given
from hypothesis import strategies as st

from tollhouse.money import Price, Usage
from tollhouse.policy.model_files import ModelFile
from tollhouse.policy.pricing import Pricing, pricing_of
from tollhouse.policy.provider_files import ProviderFile

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
PROVIDERS = ("openai", "anthropic", "google", "mistral", "groq", "deepseek", "x-ai", "cohere")


class Listed(NamedTuple):
    provider: Provider
    model: ModelInfo
    price: Price

    def __repr__(self) -> str:
        return f"{self.provider.id}/{self.model.id}"


def priced(provider: Provider, model: ModelInfo, endpoint: str) -> Pricing:
    upstream = {"dialect": "openai", "base_url": "https://proxy.internal/v1", "api_key": "${P_KEY}"}
    alias = {"provider": provider.id, "model": model.id, "endpoints": [endpoint]}
    file = ModelFile.model_validate(alias)
    return pricing_of(provider.id, ProviderFile.model_validate(upstream), file, NOW)


@cache
def listed(provider_id: str) -> list[Listed]:
    """Every model of a provider that has a price here."""
    (provider,) = (each for each in get_snapshot().providers if each.id == provider_id)
    found = [
        Listed(provider, model, price)
        for model in provider.models
        # The first that matches is the one that an id names.
        if provider.find_model(model.id) is model
        for endpoint in ("chat/completions", "embeddings", "audio/transcriptions", "audio/speech")
        if (price := priced(provider, model, endpoint).price)
    ]
    return list({each.model.id: each for each in found}.values())


# Where steps begin, and below the shortest sound that is billed.
EDGES = (0, 9_500, 128_000, 128_001, 200_000, 200_001, 272_000, 272_001)
counts = st.sampled_from(EDGES) | st.integers(min_value=0, max_value=600_000)
tiers = st.sampled_from(["", "default", "flex", "priority", "fast"])
# The list asks for the overlap of sound or pictures with what was read from a cache, which no
# answer tells: a call has the one or the other.
INPUTS = (
    ("cached_input_tokens", "cache_write_tokens", "cache_write_1h_tokens"),
    ("input_audio_tokens",),
    ("input_image_tokens",),
)


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    inputs = {name: draw(counts) for name in draw(st.sampled_from(INPUTS))}
    outputs = {name: draw(counts) for name in ("output_audio_tokens", "output_image_tokens")}
    return Usage(
        input_tokens=draw(counts) + sum(inputs.values()),
        output_tokens=draw(counts) + sum(outputs.values()),
        audio_milliseconds=draw(counts),
        characters=draw(counts),
        service_tier=draw(tiers),
        **inputs,
        **outputs,
    )


def told(usage: Usage) -> genai_prices.Usage:
    """The same, in the words of genai-prices: there, writes for an hour are part of all writes."""
    seconds = Decimal(usage.audio_milliseconds).scaleb(-3)
    return genai_prices.Usage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cached_input_tokens,
        cache_write_tokens=usage.cache_write_tokens + usage.cache_write_1h_tokens,
        cache_write_1h_tokens=usage.cache_write_1h_tokens,
        input_audio_tokens=usage.input_audio_tokens,
        input_image_tokens=usage.input_image_tokens,
        output_audio_tokens=usage.output_audio_tokens,
        output_image_tokens=usage.output_image_tokens,
        audio_seconds=seconds,
        input_audio_seconds=seconds,
        input_characters=usage.characters,
    )


def charged(each: Listed, usage: Usage) -> int:
    """Nano-dollars by the list, rounded up."""
    with localcontext(prec=60):
        usd = each.model.calc_price(
            told(usage),
            each.provider,
            genai_request_timestamp=NOW,
            price_context={"service_tier": usage.service_tier} if usage.service_tier else None,
        ).total_price
        return int(usd.scaleb(9).to_integral_value(ROUND_CEILING))


@pytest.mark.parametrize("provider", PROVIDERS)
@given(st.data(), usages())
def test_a_call_costs_what_the_public_list_says(provider: str, data: st.DataObject, usage: Usage):
    each = data.draw(st.sampled_from(listed(provider)))
    assert each.price.cost(usage) == charged(each, usage)


@pytest.mark.parametrize(
    ("provider", "has"),
    [
        ("openai", "long_context"),
        ("openai", "service_tiers"),
        ("openai", "per_million_characters"),
        ("openai", "per_hour"),
        ("google", "long_context"),
        ("mistral", "per_hour"),
        ("groq", "minimum_audio_milliseconds"),
        ("x-ai", "long_context"),
    ],
)
def test_the_models_above_have_prices_of_every_shape(provider: str, has: str):
    assert any(getattr(each.price, has) for each in listed(provider))


def test_most_of_the_list_has_a_price_here():
    """Printed by provider: how many models of the list have one."""
    for provider in get_snapshot().providers:
        if provider.id in PROVIDERS:
            print(provider.id, len(listed(provider.id)), "of", len(provider.models))
    assert all(listed(provider) for provider in PROVIDERS)
