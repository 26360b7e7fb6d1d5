"""Prices from the public list: exact and certain, or none at all."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
import yaml

from tollhouse.money import Price, TokenPrice
from tollhouse.policy.model_files import ModelFile
from tollhouse.policy.pricing import Pricing, pricing_of
from tollhouse.policy.provider_files import ProviderFile

NOW = datetime(2026, 1, 15, tzinfo=UTC)
GOOGLE = "https://generativelanguage.googleapis.com/v1beta/openai"
GROQ = "https://api.groq.com/openai/v1"


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


def test_a_price_that_rises_with_the_input_has_a_step():
    price = public("gemini-2.5-pro", url=GOOGLE).price
    assert price is not None
    (step,) = price.long_context
    assert step.above_input_tokens == 200_000
    assert (price.input, step.rates.input) == (1_250_000_000, 2_500_000_000)
    assert (price.output, step.rates.output) == (10_000_000_000, 15_000_000_000)


def test_a_service_tier_with_a_public_price_has_it():
    price = public("o4-mini", now=datetime(2026, 11, 1, tzinfo=UTC)).price
    assert price is not None
    rates = {tier: (of.input, of.output) for tier, of in price.service_tiers}
    assert rates["flex"] == (550_000_000, 2_200_000_000)
    assert rates["priority"] == (2_000_000_000, 8_000_000_000)
    assert "default" not in rates


def test_the_minimum_that_groq_bills_for_a_transcription_is_known():
    price = public("whisper-large-v3", url=GROQ, endpoint="audio/transcriptions").price
    assert price is not None
    assert (price.per_hour, price.minimum_audio_milliseconds) == (111_000_000, 10_000)


def test_a_price_that_depends_on_the_time_of_day_is_not_taken():
    night = datetime(2025, 3, 1, 20, tzinfo=UTC)
    for now in (night, NOW):
        assert public("deepseek-chat", url="https://api.deepseek.com", now=now).price is None


def test_a_price_with_a_rate_for_what_nothing_counts_is_not_taken():
    assert public("sonar-deep-research", url="https://api.perplexity.ai") == Pricing(
        missing_because="its public price has output_citation_mtok, which is not counted here"
    )


def test_the_searches_of_a_model_that_searches_unasked_are_not_overlooked():
    assert public("perplexity/sonar", url="https://api.perplexity.ai") == Pricing(
        missing_because="its public price has web_searches_kcount, which is not counted here"
    )


def test_a_model_unknown_to_the_list_has_no_price():
    assert public("no-such-model") == Pricing(
        missing_because="the public price list does not know this model"
    )


STATED = """
input_per_million: 1
output_per_million: 2
cached_input_per_million: 0.1
long_context:
- {above_input_tokens: 100, input_per_million: 3}
- {above_input_tokens: 200, output_per_million: 5}
service_tiers:
  flex: {input_per_million: 0.5}
  priority:
    output_per_million: 4
    long_context: [{above_input_tokens: 150, output_per_million: 8}]
"""


def stated(text: str, *endpoints: str) -> Pricing:
    provider = {"dialect": "openai", "base_url": "https://p.example/v1", "api_key": "${P_KEY}"}
    price = yaml.load(text, Loader=Decimals)  # noqa: S506 - a SafeLoader
    alias = {"provider": "p", "model": "m", "endpoints": list(endpoints), "price": price}
    file = ModelFile.model_validate(alias)
    return pricing_of("p", ProviderFile.model_validate(provider), file, NOW)


class Decimals(yaml.SafeLoader):
    """Numbers with a point become Decimal, as the loader of policies makes them."""


Decimals.add_constructor("tag:yaml.org,2002:float", lambda _, node: Decimal(node.value))


def rates(of: TokenPrice) -> dict[int, tuple[int, int, int]]:
    """In tenths of a dollar: input, output and cached input above so many input tokens."""
    found = {0: of, **{each.above_input_tokens: each.rates for each in of.long_context}}
    return {
        above: (each.input // 10**8, each.output // 10**8, each.cached_input // 10**8)
        for above, each in found.items()
    }


def test_what_a_step_or_a_tier_does_not_state_costs_as_usual():
    price = stated(STATED, "chat/completions").price
    assert price is not None
    assert rates(price) == {0: (10, 20, 1), 100: (30, 20, 1), 200: (10, 50, 1)}
    assert rates(price.tier("flex")) == {0: (5, 20, 1), 200: (5, 50, 1)}
    assert rates(price.tier("priority")) == {
        0: (10, 40, 1),
        100: (30, 40, 1),
        150: (30, 80, 1),
        200: (10, 80, 1),
    }


@pytest.mark.parametrize(
    ("text", "endpoint", "price"),
    [
        (
            "per_image: 0.04",
            "images/generations",
            Price(0, 0, per_image=(("default", 40_000_000),)),
        ),
        (
            "per_image: {default: 0.08, standard 1024x1024: 0.04}",
            "images/edits",
            Price(
                0,
                0,
                per_image=(("default", 80_000_000), ("standard 1024x1024", 40_000_000)),
            ),
        ),
        ("per_minute: 0.006", "audio/transcriptions", Price(0, 0, per_hour=360_000_000)),
        (
            "{per_hour: 0.04, minimum_audio_seconds: 10}",
            "audio/translations",
            Price(0, 0, per_hour=40_000_000, minimum_audio_milliseconds=10_000),
        ),
        (
            "per_million_characters: 15",
            "audio/speech",
            Price(0, 0, per_million_characters=15_000_000_000),
        ),
        ("per_thousand_searches: 2", "rerank", Price(0, 0, per_thousand_searches=2_000_000_000)),
        ("per_request: 0.01", "files", Price(0, 0, per_request=10_000_000)),
        ("per_request: 0.01", "chat/completions", Price(0, 0, per_request=10_000_000)),
    ],
)
def test_every_unit_can_be_stated_alone(text: str, endpoint: str, price: Price):
    assert stated(text, endpoint) == Pricing(price, "policy")


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("per_image: 0.04", "chat/completions"),
        ("per_minute: 0.04", "embeddings"),
        ("per_image: 0.04", "audio/transcriptions"),
        ("per_minute: 0.04", "audio/speech"),
        ("per_minute: 0.04", "images/generations"),
        ("per_minute: 0.04", "rerank"),
        ("{input_per_million: 1, output_per_million: 1}", "files"),
    ],
)
def test_a_price_that_leaves_an_endpoint_free_is_none(text: str, endpoint: str):
    assert stated(text, endpoint) == Pricing(
        missing_because=f"its price has nothing that a call of {endpoint} is charged"
    )
