"""Prices from the public list: exact and certain, or none at all."""

from datetime import UTC, datetime

import pytest

from tollhouse.money import Price
from tollhouse.policy.files import ModelFile, ProviderFile
from tollhouse.policy.pricing import Pricing, pricing_of

NOW = datetime(2026, 1, 15, tzinfo=UTC)


def public(
    model: str,
    *,
    name: str = "p",
    url: str = "https://api.openai.com/v1",
    endpoint: str = "chat/completions",
    now: datetime = NOW,
) -> Pricing:
    provider = ProviderFile.model_validate(
        {"dialect": "openai", "base_url": url, "api_key": "${P_KEY}"}
    )
    alias = ModelFile.model_validate({"provider": name, "model": model, "endpoints": [endpoint]})
    return pricing_of(name, provider, alias, now)


def test_a_public_price_is_found_by_the_url_of_the_provider():
    assert public("gpt-4o-mini") == Pricing(
        Price(input=150_000_000, output=600_000_000, cached_input=75_000_000), "genai-prices"
    )


def test_a_provider_behind_another_url_is_found_by_its_name():
    proxied = public("gpt-4o-mini", name="openai", url="https://proxy.internal/v1")
    assert proxied == public("gpt-4o-mini")


def test_the_url_says_who_bills_whatever_the_provider_is_called():
    assert public("gpt-4o-mini", name="anthropic") == public("gpt-4o-mini")


def test_cached_input_without_a_public_price_costs_what_input_costs():
    price = public("mistral-large-latest", url="https://api.mistral.ai/v1").price
    assert price is not None
    assert price.cached_input == price.input


def test_embeddings_have_no_output_to_pay_for():
    price = public("text-embedding-3-small", endpoint="embeddings").price
    assert price == Price(input=20_000_000, output=0, cached_input=20_000_000)


def test_a_chat_model_without_a_public_output_price_has_no_price():
    assert public("text-embedding-3-small").price is None


@pytest.mark.parametrize(
    ("model", "url"),
    [
        ("gemini-2.5-pro", "https://generativelanguage.googleapis.com/v1beta/openai"),
        ("claude-sonnet-4-5", "https://api.anthropic.com/v1"),
    ],
)
def test_a_price_with_tiers_is_not_taken_for_one_price(model: str, url: str):
    assert public(model, url=url) == Pricing(
        missing_because="its public price is not one rate each for input, output and cached input"
    )


def test_a_price_that_depends_on_the_time_of_day_is_not_taken():
    night = datetime(2025, 3, 1, 20, tzinfo=UTC)
    for now in (night, NOW):
        assert public("deepseek-chat", url="https://api.deepseek.com", now=now).price is None


def test_a_price_with_further_rates_is_not_taken():
    url = "https://generativelanguage.googleapis.com/v1beta/openai"
    assert public("gemini-2.5-flash", url=url).price is None


def test_a_model_unknown_to_the_list_has_no_price():
    assert public("no-such-model") == Pricing(
        missing_because="the public price list does not know this model"
    )
