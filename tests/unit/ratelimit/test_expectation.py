"""What soft budgets reserve: learned from calls, never above the worst case."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit_service import expectation as expectation_module
from ratelimit_service.expectation import Expectation

WORST = 1_000_000


def taught(cost: int, calls: int) -> Expectation:
    expectation = Expectation()
    for _ in range(calls):
        expectation.learn("web-1", "small", cost, WORST)
    return expectation


@pytest.mark.parametrize("calls", [0, 9])
def test_until_some_calls_have_ended_the_worst_is_expected(calls: int) -> None:
    assert taught(1, calls).cost("web-1", "small", WORST) == WORST


def test_what_calls_cost_of_late_is_expected_of_the_next() -> None:
    assert taught(200_000, 200).cost("web-1", "small", WORST) == pytest.approx(200_000, rel=0.01)


def test_a_call_of_another_size_is_expected_to_cost_the_same_share() -> None:
    small = taught(200_000, 200).cost("web-1", "small", WORST // 10)
    assert small == pytest.approx(20_000, rel=0.01)


def test_what_changed_lately_counts_more_than_what_was_long_ago() -> None:
    expectation = taught(0, 200)
    for _ in range(60):
        expectation.learn("web-1", "small", WORST, WORST)
    assert expectation.cost("web-1", "small", WORST) > 0.9 * WORST


@pytest.mark.parametrize(("key", "alias"), [("web-2", "small"), ("web-1", "large")])
def test_each_key_and_alias_has_an_expectation_of_its_own(key: str, alias: str) -> None:
    assert taught(1, 200).cost(key, alias, WORST) == WORST


@given(st.lists(st.tuples(st.integers(0, 10**16), st.integers(0, 10**16)), max_size=40))
def test_whatever_calls_cost_no_more_than_the_worst_is_expected_and_no_less_than_nothing(
    calls: list[tuple[int, int]],
) -> None:
    expectation = Expectation()
    for cost, worst in calls:
        expectation.learn("web-1", "small", cost, worst)
    assert 0 <= expectation.cost("web-1", "small", WORST) <= WORST


def test_those_that_were_not_called_for_longest_are_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(expectation_module, "_MOST_PAIRS", 2)
    expectation = taught(0, 20)
    for alias in ("b", "c"):
        expectation.learn("web-1", alias, 0, WORST)
    assert expectation.cost("web-1", "small", WORST) == WORST
