"""Money is exact, and no part of a request is free."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollhouse.money import (
    Price,
    Usage,
    format_usd,
    nano_per_million,
    nano_to_usd,
    usd_to_nano,
)

nanos = st.integers(min_value=0, max_value=10**19)
rates = st.integers(min_value=0, max_value=10**13)
counts = st.integers(min_value=0, max_value=10**9)


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


@given(st.builds(Price, rates, rates, rates), counts, counts, counts)
def test_a_cost_is_the_exact_sum_rounded_up(price: Price, uncached: int, output: int, cached: int):
    nano = uncached * price.input + output * price.output + cached * price.cached_input
    exact = Fraction(nano, 1_000_000)
    assert exact <= price.cost(Usage(uncached + cached, output, cached)) < exact + 1


def test_more_cached_than_input_tokens_never_lower_the_cost():
    price = Price(input=2_000_000, output=0, cached_input=1_000_000)
    assert price.cost(Usage(input_tokens=5, output_tokens=0, cached_input_tokens=8)) == 8


@pytest.mark.parametrize("counts_", [(-1, 0, 0), (0, -1, 0), (0, 0, -1)])
def test_a_negative_token_count_is_refused(counts_: tuple[int, int, int]):
    with pytest.raises(ValueError, match="0 or more"):
        Usage(*counts_)


def test_the_access_log_gets_exact_decimal_prices():
    price = Price(input=150_000_000, output=2_000_000_000, cached_input=1)
    assert price.to_labels() == {
        "input_per_million": "0.15",
        "output_per_million": "2",
        "cached_input_per_million": "0.000000001",
    }


@given(rates, rates, rates)
def test_a_price_is_read_back_from_the_access_log(given_: int, output: int, cached: int):
    price = Price(given_, output, cached)
    assert Price.from_labels({**price.to_labels(), "other": "x"}) == price


def test_a_missing_price_label_is_named():
    with pytest.raises(ValueError, match="output_per_million is missing"):
        Price.from_labels({"input_per_million": "1", "cached_input_per_million": "1"})
