"""Charts: whatever the numbers are, what is drawn is inside the picture and is XML."""

from __future__ import annotations

import math
from datetime import date
from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from console.pages.rendering import environment
from console.pages.views import charts, gauges, numbers, sums
from console.pages.views.charts import HEIGHT, WIDTH, BarChart, Point, bar_chart, nice_ceiling
from console.reads.usage import UsageRow

_NAMES = st.text(max_size=20)
_POINTS = st.lists(
    st.builds(Point, label=_NAMES, name=_NAMES, amount=st.integers(0, 2**60)), max_size=70
)
_PARTS = environment().get_template("parts.html").module


def _chart(points: list[Point]) -> BarChart:
    return bar_chart("c", "Spend a day", points, numbers.usd, numbers.usd_short)


@given(_POINTS)
def test_every_bar_and_label_is_inside_the_picture(points: list[Point]) -> None:
    chart = _chart(points)
    assert len(chart.bars) == len(chart.rows) == len(points)
    for bar in chart.bars:
        assert all(map(math.isfinite, (bar.x, bar.y, bar.width, bar.height)))
        assert bar.x >= 0 and bar.x + bar.width <= WIDTH
        assert bar.y >= 0 and bar.y + bar.height <= HEIGHT - 20
    assert all(0 <= tick.at <= HEIGHT for tick in chart.y_ticks)
    assert all(0 <= tick.at <= WIDTH for tick in chart.x_ticks)


@given(st.integers(0, 2**60))
def test_the_labels_of_an_axis_have_room_and_leave_room_for_bars(amount: int) -> None:
    chart = _chart([Point("1", "1 Nov", amount)])
    # Drawn from 8 left of the axis, to the left.
    assert all(charts.label_width(tick.label) <= chart.left - 8 for tick in chart.y_ticks)
    assert chart.left < WIDTH / 2


def test_a_label_of_a_fraction_of_a_cent_has_more_room_than_one_of_dollars() -> None:
    lefts = [_chart([Point("1", "1 Nov", nano)]).left for nano in (10**11, 10**8, 1000)]
    assert lefts == sorted(set(lefts))


@given(_POINTS)
def test_what_is_not_nothing_can_be_seen(points: list[Point]) -> None:
    seen = [bar.height > 1 for bar in _chart(points).bars]
    assert seen == [point.amount > 0 for point in points]


@given(_POINTS)
def test_a_larger_amount_is_never_a_lower_bar(points: list[Point]) -> None:
    pairs = sorted(zip((p.amount for p in points), (b.height for b in _chart(points).bars)))  # noqa: B905
    heights = [height for _, height in pairs]
    assert heights == sorted(heights)


@given(_POINTS)
def test_what_is_drawn_is_well_formed_xml_whatever_the_names(points: list[Point]) -> None:
    printable = [
        Point(*("".join(filter(str.isprintable, each)) for each in (p.label, p.name)), p.amount)
        for p in points
    ]
    drawn = str(_PARTS.chart(_chart(printable)))  # type: ignore[attr-defined]
    root = ET.fromstring(drawn)  # noqa: S314 - of our own template
    if any(point.amount for point in points):
        bars = root.findall(".//g[@class='bars']/rect")
        assert len(bars) == len(points)
        titles = [bar.find("title") for bar in bars]
        assert [t is not None and t.text for t in titles] == [
            b.title for b in _chart(printable).bars
        ]


@given(st.integers(0, 2**60))
def test_an_axis_ends_at_a_round_number_that_four_steps_divide(amount: int) -> None:
    top = nice_ceiling(amount)
    assert top >= amount and top % 4 == 0
    assert top <= max(4, amount * 3)
    assert len(str(top).rstrip("0")) == 1 or top < 100


def test_an_axis_has_an_end_for_every_number_of_requests() -> None:
    tops = [nice_ceiling(amount) for amount in range(200_001)]
    assert not [n for n, top in enumerate(tops) if top < n or top % 4 or top > max(4, n * 3)]
    assert tops == sorted(tops)
    assert (tops[8], tops[9], tops[10]) == (8, 12, 20)


@given(st.floats(0, 200_000))
def test_an_axis_has_an_end_for_every_number_with_a_point(amount: float) -> None:
    assert nice_ceiling(amount) == nice_ceiling(math.ceil(amount)) >= amount


def test_a_chart_that_fails_says_so_in_its_place() -> None:
    def fails(amount: int) -> str:
        raise ZeroDivisionError

    chart = bar_chart("c", "Spend a day", [Point("1", "1 Nov", 9)], fails, numbers.usd_short)
    assert chart.is_failed
    drawn = str(_PARTS.chart(chart))  # type: ignore[attr-defined]
    assert "<svg" not in drawn
    assert "This chart could not be drawn." in drawn


@given(st.integers(0, 2**60), st.integers(0, 2**60), st.integers(0, 2**60))
def test_a_gauge_never_leaves_its_box_and_says_when_it_is_used_up(
    used: int, reserved: int, limit: int
) -> None:
    gauge = gauges.gauge(used, reserved, limit, (50, 80, 100, 120))
    assert 0 <= gauge.used <= 100
    assert 0 <= gauge.reserved <= 100
    assert gauge.used + gauge.reserved <= 100.02
    assert all(0 <= mark <= 100 for mark in gauge.marks)
    assert (gauge.state == "over") == (used + reserved >= limit)
    assert gauge.percent in gauge.words
    ET.fromstring(str(_PARTS.gauge_bar(gauge)))  # type: ignore[attr-defined]  # noqa: S314


def test_a_gauge_is_high_from_four_fifths_on() -> None:
    states = [gauges.gauge(used, 0, 100).state for used in (0, 79, 80, 99, 100, 101)]
    assert states == ["calm", "calm", "high", "high", "over", "over"]


def test_a_budget_that_is_exceeded_shows_its_marks_where_they_were_passed() -> None:
    gauge = gauges.gauge(200, 0, 100, (50, 100))
    assert (gauge.used, gauge.marks, gauge.percent) == (100, (25, 50), "200%")


def test_days_without_use_have_a_bar_of_nothing() -> None:
    rows = [UsageRow(day="2026-11-02", cost=5 * 10**9, requests=3)]
    span = sums.Span(date(2026, 11, 1), date(2026, 11, 3))
    chart = sums.spend_chart("c", rows, span)
    assert [words for _, words in chart.rows] == ["$0.00", "$5.00", "$0.00"]
    assert [bar.height > 0 for bar in chart.bars] == [False, True, False]
    assert "In all $5.00; the most, $5.00, on Monday 2 Nov" in chart.description
    assert [bar.is_last for bar in chart.bars] == [False, False, True]


def test_a_chart_of_nothing_says_so_and_draws_no_axis() -> None:
    chart = _chart([Point("1 Nov", "Sunday 1 Nov", 0)])
    assert chart.is_empty
    drawn = str(_PARTS.chart(chart))  # type: ignore[attr-defined]
    assert "<svg" not in drawn
    assert "No calls in these days" in drawn


def test_a_ranking_has_the_largest_first_and_as_many_as_are_wanted() -> None:
    found = charts.ranked([("a", 1, None), ("b", 4, "/b"), ("c", 2, None)], str, 2)
    assert [(each.name, each.width, each.href) for each in found] == [
        ("b", 100.0, "/b"),
        ("c", 50.0, None),
    ]
    assert charts.ranked([("a", 0, None)], str) == []
