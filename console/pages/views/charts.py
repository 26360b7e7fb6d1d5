"""Bar charts as coordinates; templates draw them as SVG. Pure.

Coordinates are in the units of the chart's `viewBox`, y growing downwards.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

log = logging.getLogger("tollhouse.console")

WIDTH: Final = 520
HEIGHT: Final = 190
_LEAST_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 24, 10, 24
_BESIDE_LABEL: Final = 12
# Of a letter at 16 px, the larger of the two sizes that labels have, in the widest of their fonts.
_WIDTHS: Final = {**dict.fromkeys(" .,", 5.5), **dict.fromkeys("kMBT", 14.0)}
_DIGIT_WIDTH: Final = 10.2
_STEPS: Final = 4
# The 12 is for 9 alone: of larger numbers the 10 is a multiple of the steps.
_NICE: Final = (1, 2, 4, 6, 8, 10, 12)
_MOST_LABELS: Final = 7
_THINNEST: Final = 1.5


@dataclass(frozen=True, slots=True)
class Point:
    """One bar: its label below the axis, its full name, and its amount (0 or more)."""

    label: str
    name: str
    amount: int
    href: str | None = None


@dataclass(frozen=True, slots=True)
class Bar:
    """`title` is what a pointer or a screen reader is told."""

    x: float
    y: float
    width: float
    height: float
    title: str
    is_last: bool


@dataclass(frozen=True, slots=True)
class Tick:
    """A label of an axis, and where. `is_minor`: may be left out where there is little room."""

    at: float
    label: str
    is_minor: bool = False


@dataclass(frozen=True, slots=True)
class BarChart:
    """`rows` are the same as a table: name and amount in words. `is_failed`: it could not be drawn,
    and there is nothing in it."""

    id: str
    title: str
    description: str
    bars: tuple[Bar, ...]
    y_ticks: tuple[Tick, ...]
    x_ticks: tuple[Tick, ...]
    rows: tuple[tuple[str, str], ...]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEAST_LEFT
    right: int = WIDTH - _RIGHT
    bottom: int = HEIGHT - _BOTTOM
    is_failed: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing but zeros to see."""
        return not any(bar.height for bar in self.bars)


def bar_chart(
    id: str,
    title: str,
    points: Sequence[Point],
    words: Callable[[int], str],
    axis: Callable[[int], str],
) -> BarChart:
    """`words` writes an amount in full, `axis` shortly; both for amounts as points have them."""
    try:
        return _drawn(id, title, points, words, axis)
    except Exception:
        # A page is more than its charts.
        log.exception("a chart could not be drawn", extra={"fields": {"chart": id}})
        return BarChart(id, title, "", (), (), (), (), is_failed=True)


def _drawn(
    id: str,
    title: str,
    points: Sequence[Point],
    words: Callable[[int], str],
    axis: Callable[[int], str],
) -> BarChart:
    top = nice_ceiling(max((point.amount for point in points), default=0))
    y_ticks = _y_ticks(top, axis)
    widest = max(label_width(tick.label) for tick in y_ticks)
    left = max(math.ceil(widest) + _BESIDE_LABEL, _LEAST_LEFT)
    return BarChart(
        id=id,
        title=title,
        description=_description(points, words),
        bars=tuple(_bars(points, left, top, words)),
        y_ticks=tuple(y_ticks),
        x_ticks=tuple(_x_ticks(points, left)),
        rows=tuple((point.name, words(point.amount)) for point in points),
        left=left,
    )


def label_width(label: str) -> float:
    """At most what it takes where letters are large."""
    return sum(_WIDTHS.get(letter, _DIGIT_WIDTH) for letter in label)


def nice_ceiling(amount: float) -> int:
    """The least round number that is not below, a multiple of the axis's steps."""
    amount = math.ceil(amount)
    if amount <= _STEPS:
        return _STEPS
    # Whole numbers throughout: floats cannot hold amounts of nano-dollars beyond 2**53.
    scale: int = 10 ** (len(str(amount)) - 1)
    found = (scale * nice for nice in _NICE)
    return next(each for each in found if each >= amount and each % _STEPS == 0)


def _bars(points: Sequence[Point], left: int, top: int, words: Callable[[int], str]) -> list[Bar]:
    slot = (WIDTH - _RIGHT - left) / max(len(points), 1)
    width = max(slot * 0.72, _THINNEST)
    floor, room = HEIGHT - _BOTTOM, HEIGHT - _BOTTOM - _TOP
    bars = []
    for index, point in enumerate(points):
        height = room * (point.amount / top)
        if point.amount:
            height = max(height, _THINNEST)
        x = left + slot * index + (slot - width) / 2
        bars.append(
            Bar(
                x=round(x, 2),
                y=round(floor - height, 2),
                width=round(width, 2),
                height=round(height, 2),
                title=f"{point.name}: {words(point.amount)}",
                is_last=index == len(points) - 1,
            )
        )
    return bars


def _y_ticks(top: int, axis: Callable[[int], str]) -> list[Tick]:
    floor, room = HEIGHT - _BOTTOM, HEIGHT - _BOTTOM - _TOP
    return [
        Tick(
            at=round(floor - room * step / _STEPS, 2),
            label=axis(top * step // _STEPS),
            is_minor=step % 2 == 1,
        )
        for step in range(_STEPS + 1)
    ]


def _x_ticks(points: Sequence[Point], left: int) -> list[Tick]:
    slot = (WIDTH - _RIGHT - left) / max(len(points), 1)
    every = max(math.ceil(len(points) / _MOST_LABELS), 1)
    # Counted from the last, which is today.
    wanted = [i for i in range(len(points)) if (len(points) - 1 - i) % every == 0]
    return [
        Tick(
            at=round(left + slot * (index + 0.5), 2),
            label=points[index].label,
            is_minor=(len(wanted) - 1 - order) % 2 == 1,
        )
        for order, index in enumerate(wanted)
    ]


def _description(points: Sequence[Point], words: Callable[[int], str]) -> str:
    if not any(point.amount for point in points):
        return "Nothing in this time."
    most = max(points, key=lambda point: point.amount)
    total = sum(point.amount for point in points)
    return (
        f"{len(points)} bars from {points[0].name} to {points[-1].name}."
        f" In all {words(total)}; the most, {words(most.amount)}, on {most.name}."
    )


@dataclass(frozen=True, slots=True)
class Ranked:
    """A line of a list that is ordered by amount; `width` is of 100."""

    name: str
    words: str
    width: float
    href: str | None = None
    note: str | None = None


def ranked(
    amounts: Sequence[tuple[str, int, str | None]], words: Callable[[int], str], most: int = 8
) -> list[Ranked]:
    """The largest first, without those of nothing; each is a name, an amount and where it leads."""
    some = [each for each in amounts if each[1] > 0]
    ordered = sorted(some, key=lambda each: (-each[1], each[0]))[:most]
    top = max((amount for _, amount, _ in ordered), default=0)
    return [
        Ranked(name, words(amount), round(amount / top * 100, 2), href)
        for name, amount, href in ordered
    ]


def sparkline(amounts: Sequence[int], words: Callable[[int], str]) -> tuple[Bar, ...]:
    """Bars in a box of 100 by 20."""
    top = max((*amounts, 1))
    slot = 100 / max(len(amounts), 1)
    return tuple(
        Bar(
            x=round(slot * index, 2),
            y=round(20 - 20 * amount / top, 2),
            width=round(slot * 0.75, 2),
            height=round(20 * amount / top, 2),
            title=words(amount),
            is_last=index == len(amounts) - 1,
        )
        for index, amount in enumerate(amounts)
    )
