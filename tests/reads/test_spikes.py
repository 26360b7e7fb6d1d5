"""A spike is a day that costs many times the usual, by a documented measure."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.reads.spikes import USUAL_DAYS, Spike, spikes

DAY = date(2026, 11, 24)


def history(*before: int, today: int = 0) -> dict[date, int]:
    """Costs of the days before, the last one yesterday; a day that cost nothing is not there."""
    costs = {DAY - timedelta(days=back): cost for back, cost in enumerate(reversed(before), 1)}
    return {day: cost for day, cost in {**costs, DAY: today}.items() if cost}


@pytest.mark.parametrize(
    ("before", "today", "usual"),
    [
        ([10] * 14, 30, 10),
        ([10] * 14, 29, None),  # not three times as much
        ([10] * 13 + [1000], 30, 10),  # last day's spike makes no spike usual
        ([10] * 3, 30, 10),  # in its first week: the days before its first do not count
        ([10, 0, 0], 20, 0),  # days of rest since its first do
        ([1000] + [0] * 20, 20, 0),  # used long ago, and resting since
        ([5, 10, 20, 40], 45, 15),  # the median of an even number of days
        ([], 1000, None),  # its very first day: nothing is usual
        ([1] * 14, 19, None),  # many times the usual, and not worth telling
    ],
)
def test_a_day_is_held_to_the_median_of_the_days_before(
    before: list[int], today: int, usual: int | None
) -> None:
    found = spikes({"web": history(*before, today=today)}, DAY, times=3, at_least=20)

    assert found == ([] if usual is None else [Spike("web", DAY, today, usual)])


def test_days_longer_ago_than_two_weeks_do_not_say_what_is_usual() -> None:
    costs = history(*[1000] * 30, *[10] * USUAL_DAYS, today=100)

    assert [spike.usual for spike in spikes({"web": costs}, DAY, 3, 20)] == [10]


def test_a_day_without_use_is_never_a_spike() -> None:
    assert spikes({"web": history(1, 0, 0)}, DAY, times=0, at_least=0) == []


def test_the_dearest_comes_first() -> None:
    teams = {name: history(10, today=today) for name, today in [("a", 50), ("b", 90), ("c", 90)]}

    assert [spike.team for spike in spikes(teams, DAY, 3, 20)] == ["b", "c", "a"]


@given(
    st.lists(st.integers(0, 100), min_size=1, max_size=40),
    st.integers(0, 10_000),
    st.floats(1, 10),
    st.integers(0, 500),
)
def test_what_is_told_is_dear_enough_and_so_much_more_than_usual(
    before: list[int], today: int, times: float, at_least: int
) -> None:
    for spike in spikes({"web": history(*before, today=today)}, DAY, times, at_least):
        assert spike.cost == today >= at_least
        assert spike.cost >= times * spike.usual
        assert min(before) <= spike.usual <= max(before)
