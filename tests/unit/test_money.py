"""Money is exact, and no part of a request is free."""

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.prices import prices, usages
from tollhouse.money import (
    COUNTS,
    STANDS_IN,
    UNSTATED,
    Price,
    Rates,
    Step,
    TokenPrice,
    Usage,
    format_usd,
    nano_per_million,
    nano_to_usd,
    usd_to_nano,
)

nanos = st.integers(min_value=0, max_value=10**19)


def exactly(price: Price, usage: Usage) -> Fraction:
    """The cost in nano-dollars by the book, from what the price says as labels."""
    labels = price.to_labels()
    tier = labels.get("service_tiers", {}).get(usage.service_tier, labels)
    for above, step in sorted(tier.get("long_context", {}).items(), key=lambda each: int(each[0])):
        tier = step if usage.input_tokens > int(above) else tier

    def rate(name: str) -> Fraction:
        own = tier.get(f"{name}_per_million")
        return Fraction(own) / 10**6 if own else rate(STANDS_IN[name])

    def part(total: int, usual: str, **parts: int) -> Fraction:
        special = sum(count * rate(name) for name, count in parts.items())
        return special + max(total - sum(parts.values()), 0) * rate(usual)

    def other(unit: str, count: int, per: int = 1) -> Fraction:
        return count * Fraction(labels.get(unit, "0")) / per

    images = labels.get("per_image", {})
    each = images.get(usage.image_variant, images.get("default", "0"))
    heard = usage.audio_milliseconds
    usd = (
        part(
            usage.input_tokens,
            "input",
            cached_input=usage.cached_input_tokens,
            cache_write=usage.cache_write_tokens,
            cache_write_1h=usage.cache_write_1h_tokens,
            input_audio=usage.input_audio_tokens,
            input_image=usage.input_image_tokens,
        )
        + part(
            usage.output_tokens,
            "output",
            output_audio=usage.output_audio_tokens,
            output_image=usage.output_image_tokens,
        )
        + usage.images * Fraction(each)
        + other("per_hour", max(heard, price.minimum_audio_milliseconds) if heard else 0, 3_600_000)
        + other("per_million_characters", usage.characters, 10**6)
        + other("per_thousand_searches", usage.search_units, 1000)
        + other("per_request", 1)
    )
    return usd * 10**9


@pytest.mark.parametrize(
    ("usd", "nano"),
    [
        ("0.15", 150_000_000),
        (0.1, 100_000_000),
        (3, 3_000_000_000),
        (Decimal("0.000000001"), 1),
        ("1e-9", 1),
        ("1.50", 1_500_000_000),
        (0, 0),
    ],
)
def test_a_price_becomes_a_whole_number_of_nano_dollars(usd: Decimal | str | float, nano: int):
    assert nano_per_million(usd) == nano


@pytest.mark.parametrize("usd", ["0.0000000001", "1e-10", 1e-10, "1e-999999999", "1e999999999"])
def test_an_amount_that_would_have_to_be_rounded_is_refused(usd: str | float):
    with pytest.raises(ValueError, match="whole number of nano-dollars"):
        usd_to_nano(usd)


@pytest.mark.parametrize("usd", ["nan", "inf", float("inf"), "-0.01", -1])
def test_what_is_not_an_amount_of_money_is_refused(usd: str | float):
    with pytest.raises(ValueError, match="not an amount of money"):
        usd_to_nano(usd)


def test_text_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="three"):
        usd_to_nano("three")


@given(nanos)
def test_every_amount_survives_being_written_as_usd(nano: int):
    assert usd_to_nano(nano_to_usd(nano)) == nano


@pytest.mark.parametrize(
    ("nano", "text"),
    [
        (12_500_000_000, "$12.50"),
        (1, "$0.000000001"),
        (0, "$0.00"),
        (1_234_000_000_000, "$1,234.00"),
        (-10_000_000, "-$0.01"),
        (-1_500_000_000, "-$1.50"),
    ],
)
def test_people_read_dollars_with_at_least_two_decimals(nano: int, text: str):
    assert format_usd(nano) == text


def test_cached_tokens_are_part_of_the_input_and_charged_at_their_own_price():
    price = Price(input=150_000_000, output=600_000_000, cached_input=75_000_000)
    usage = Usage(input_tokens=1000, output_tokens=100, cached_input_tokens=400)
    assert price.cost(usage) == 600 * 150 + 400 * 75 + 100 * 600


def test_a_fraction_of_a_nano_dollar_is_charged_up_once_per_request():
    price = Price(input=1, output=1, cached_input=1)
    assert price.cost(Usage(input_tokens=1, output_tokens=1, cached_input_tokens=0)) == 1
    assert price.cost(Usage(input_tokens=999_999, output_tokens=2)) == 2


@given(prices, usages)
def test_a_cost_is_the_exact_sum_rounded_up(price: Price, usage: Usage):
    exact = exactly(price, usage)
    assert exact <= price.cost(usage) < exact + 1


def test_more_cached_than_input_tokens_never_lower_the_cost():
    price = Price(input=2_000_000, output=0, cached_input=1_000_000)
    assert price.cost(Usage(input_tokens=5, output_tokens=0, cached_input_tokens=8)) == 8


@pytest.mark.parametrize(
    "part",
    [
        "cached_input_tokens",
        "cache_write_tokens",
        "cache_write_1h_tokens",
        "input_audio_tokens",
        "input_image_tokens",
        "output_audio_tokens",
        "output_image_tokens",
    ],
)
def test_a_part_that_exceeds_its_total_is_charged_as_reported(part: str):
    price = Price(input=1_000_000, output=1_000_000)
    assert price.cost(replace(Usage(5, 5), **{part: 8})) == 8 + 5


@pytest.mark.parametrize("count", COUNTS)
def test_a_negative_count_is_refused(count: str):
    with pytest.raises(ValueError, match="0 or more"):
        replace(Usage(0, 0), **{count: -1})


@pytest.mark.parametrize(
    ("rate", "instead"),
    [
        ("cached_input", "input"),
        ("cache_write", "input"),
        ("cache_write_1h", "cache_write"),
        ("input_audio", "input"),
        ("input_image", "input"),
        ("output_audio", "output"),
        ("output_image", "output"),
    ],
)
def test_a_rate_that_is_not_stated_costs_what_stands_in_for_it(rate: str, instead: str):
    price = replace(Price(input=2, output=3, cache_write=5), **{rate: UNSTATED})
    assert getattr(price, rate) == getattr(price, instead)


def test_the_whole_call_costs_the_rates_of_the_highest_step_its_input_exceeds():
    price = Price(
        input=1_000_000,
        output=0,
        long_context=(
            Step(100, Rates(2_000_000, 5_000_000)),
            Step(200, Rates(3_000_000, 0)),
        ),
    )
    costs = [price.cost(Usage(tokens, 1)) for tokens in (100, 101, 200, 201)]
    assert costs == [100, 2 * 101 + 5, 2 * 200 + 5, 3 * 201]


def test_a_tier_costs_its_own_rates_only_where_the_provider_says_that_it_used_it():
    flex = TokenPrice(500_000, 1_000_000, long_context=(Step(5, Rates(4_000_000, 0)),))
    price = Price(input=1_000_000, output=2_000_000, service_tiers=(("flex", flex),))
    costs = [price.cost(Usage(4, 1, service_tier=tier)) for tier in ("flex", "default", "")]
    assert costs == [3, 6, 6]
    assert price.cost(Usage(6, 1, service_tier="flex")) == 24


def test_a_picture_costs_what_its_variant_does_and_any_other_the_default():
    price = Price(0, 0, per_image=(("default", 80), ("standard 1024x1024", 40)))
    variants = ("standard 1024x1024", "hd 1024x1792", "")
    assert [price.cost(Usage(0, 0, images=3, image_variant=each)) for each in variants] == [
        120,
        240,
        240,
    ]


def test_sound_is_charged_by_the_millisecond_from_the_minimum_on():
    price = Price(0, 0, per_hour=3_600_000, minimum_audio_milliseconds=10_000)
    costs = [price.cost(Usage(0, 0, audio_milliseconds=each)) for each in (0, 1, 10_000, 10_001)]
    assert costs == [0, 10_000, 10_000, 10_001]


def test_the_access_log_gets_exact_decimal_prices():
    price = Price(input=150_000_000, output=2_000_000_000, cached_input=1)
    assert price.to_labels() == {
        "input_per_million": "0.15",
        "output_per_million": "2",
        "cached_input_per_million": "0.000000001",
    }


@given(prices)
def test_a_price_is_read_back_from_the_access_log(price: Price):
    assert Price.from_labels({**price.to_labels(), "other": "x"}) == price


def test_labels_leave_out_what_costs_the_same_as_what_stands_in_for_it():
    price = Price(input=1, output=2, cached_input=1, cache_write=3, input_audio=1)
    assert price.to_labels().keys() == {
        "input_per_million",
        "output_per_million",
        "cached_input_per_million",
        "cache_write_per_million",
    }


@pytest.mark.parametrize("label", ["long_context", "service_tiers", "per_image"])
def test_a_label_that_should_be_an_object_is_named(label: str):
    with pytest.raises(ValueError, match=f"{label} is not an object"):
        Price.from_labels({**Price(1, 1).to_labels(), label: "1"})


def test_a_missing_price_label_is_named():
    with pytest.raises(ValueError, match="output_per_million is missing"):
        Price.from_labels({"input_per_million": "1", "cached_input_per_million": "1"})


TOTALS = ("input_tokens", "output_tokens")
INPUT_PARTS = (
    "cached_input_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "input_audio_tokens",
    "input_image_tokens",
)
OUTPUT_PARTS = ("output_audio_tokens", "output_image_tokens")


@st.composite
def within(draw: st.DrawFn, bound: Usage) -> Usage:
    """A call of which every count is within the bound, and the parts within their totals."""
    counts = {name: draw(st.integers(0, most)) for name, most in bound.counts().items()}
    for total, parts in zip(TOTALS, (INPUT_PARTS, OUTPUT_PARTS), strict=True):
        left = counts[total]
        for part in draw(st.permutations(parts)):
            most = left if part == "cached_input_tokens" else min(left, bound.counts()[part])
            counts[part] = draw(st.just(most) | st.integers(0, most))
            left -= counts[part]
    tier = draw(st.sampled_from(["", "unknown", bound.service_tier]))
    return Usage(**counts, service_tier=tier, image_variant=bound.image_variant)


@given(prices, usages, st.data())
def test_no_call_within_a_bound_costs_more_than_the_most(
    price: Price, bound: Usage, data: st.DataObject
):
    assert price.cost(data.draw(within(bound))) <= price.most(bound)


def test_the_most_counts_no_token_twice():
    price = Price(1_000_000, 1_000_000, cache_write=2_000_000, input_audio=3_000_000)
    bound = Usage(10, 5, cache_write_tokens=10, input_audio_tokens=4)
    assert price.most(bound) == 4 * 3 + 6 * 2 + 5


def test_a_step_that_is_cheaper_than_what_is_below_it_does_not_lower_the_most():
    price = Price(5_000_000, 0, long_context=(Step(100, Rates(1_000_000, 0)),))
    assert (price.cost(Usage(101, 0)), price.most(Usage(101, 0))) == (101, 500)


def test_parts_that_cost_more_in_any_tier_or_step_are_known():
    flex = TokenPrice(1, 1, long_context=(Step(1, Rates(1, 1, input_audio=2)),))
    price = Price(5, 5, cached_input=9, cache_write=6, service_tiers=(("flex", flex),))
    assert price.dearer_parts() == {
        "cache_write_tokens",
        "cache_write_1h_tokens",
        "input_audio_tokens",
    }
