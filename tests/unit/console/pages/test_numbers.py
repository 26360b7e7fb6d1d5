"""Numbers as people read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.pages.views import numbers
from tollhouse.money import NANO_PER_USD


@pytest.mark.parametrize(
    ("nano", "words"),
    [
        (0, "$0.00"),
        (1, "<$0.0001"),
        (99_999, "<$0.0001"),
        (100_000, "$0.0001"),
        (1_865_700, "$0.0019"),
        (4_230_000, "$0.0042"),
        (4_250_000, "$0.0043"),
        (9_949_999, "$0.0099"),
        (9_950_000, "$0.01"),
        (10_000_000, "$0.01"),
        (1_234_500_000_000, "$1,234.50"),
        (14_999_999, "$0.01"),
        (15_000_000, "$0.02"),
        (1_234_567_890_123, "$1,234.57"),
        (-1_500_000_000, "\N{MINUS SIGN}$1.50"),
    ],
)
def test_money_is_to_the_cent_and_what_is_less_is_not_nothing(nano: int, words: str) -> None:
    assert numbers.usd(nano) == words


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "0"),
        (950, "950"),
        (1000, "1 k"),
        (1005, "1.01 k"),
        (1125, "1.13 k"),
        (9995, "10 k"),
        (12_345, "12.3 k"),
        (12_350, "12.4 k"),
        (1_050_000, "1.05 M"),
        (999_999, "1 M"),
        (1_234_567, "1.23 M"),
        (2_310_000_000, "2.31 B"),
        (5 * 10**15, "5000 T"),
    ],
)
def test_a_short_number_has_three_digits(number: int, words: str) -> None:
    assert numbers.short(number) == words


@pytest.mark.parametrize(
    ("part", "whole", "words"),
    [(0, 0, "0%"), (1, 1000, "<1%"), (999, 1000, "99%"), (1000, 1000, "100%"), (3, 2, "150%")],
)
def test_a_share_is_never_all_of_what_is_not_all(part: int, whole: int, words: str) -> None:
    assert numbers.percent(part, whole) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (8.4, "8 s"),
        (60, "1 min"),
        (61, "1 min 1 s"),
        (3600, "1 h"),
        (3605, "1 h"),
        (274_000, "3 d 4 h"),
        (-5, "0 s"),
    ],
)
def test_a_duration_has_its_two_largest_parts(seconds: float, words: str) -> None:
    assert numbers.duration(seconds) == words


def test_what_is_years_away_is_told_in_years() -> None:
    assert numbers.until(9.2 * 365.25 * 86_400, 0) == "in 9 years"
    assert numbers.until(700 * 86_400, 0) == "in 700 d"


def test_a_moment_is_in_utc_and_says_so() -> None:
    assert numbers.moment(1_796_000_000) == "30 Nov 2026, 00:53 UTC"
    assert numbers.iso(1_796_000_000) == "2026-11-30T00:53:20Z"


def test_an_amount_at_an_axis_is_rounded_as_elsewhere() -> None:
    assert numbers.usd_short(1234 * NANO_PER_USD + NANO_PER_USD // 2) == "$1.24 k"


@given(st.integers(0, 10**16), st.integers(0, 10**16))
def test_more_money_never_reads_as_less(one: int, other: int) -> None:
    less, more = sorted((one, other))
    assert _cents(numbers.usd(less)) <= _cents(numbers.usd(more))


def _cents(words: str) -> float:
    return 0.00005 if words.startswith("<") else float(words[1:].replace(",", ""))


@given(st.integers(0, 10**9 * NANO_PER_USD))
def test_an_axis_is_labelled_shortly(nano: int) -> None:
    if nano % NANO_PER_USD == 0:
        assert len(numbers.usd_short(nano)) <= 8
