"""What is computed of measured numbers. Pure."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from itertools import accumulate
from statistics import linear_regression, median

Figures = Mapping[str, float]
"""What one run measured, by name; `cpu_us.envoy` is a part's."""

_ADDED = ("p50_ms", "p99_ms", "p999_ms")
_FASTER = "requests_per_second"


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, least and most."""
    return {"median": median(values), "min": min(values), "max": max(values)}


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that so many percent of all do not exceed; values need no order."""
    ordered = sorted(values)
    rank = -(-len(ordered) * percent // 100)
    return ordered[max(0, int(rank) - 1)]


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Of the least-squares line through (x, y); 0 where fewer than two points make none."""
    if len({x for x, _ in points}) < 2:
        return 0.0
    return linear_regression([x for x, _ in points], [y for _, y in points]).slope


def summary(rounds: Sequence[Figures], base: Sequence[Figures]) -> dict[str, dict[str, float]]:
    """The spread of every figure, and of what each round adds to the same round of `base`.

    `to_base` is the ratio of requests/s; `added_p50_ms` and its like are differences.
    """
    names = [name for name in rounds[0] if all(name in one for one in rounds)]
    return {name: spread([one[name] for one in rounds]) for name in names} | {
        name: spread(values) for name, values in _against(rounds, base).items()
    }


def parts_of(figures: Figures) -> list[str]:
    """The figures that are CPU of one process of the target."""
    others = ("cpu_us.all", "cpu_us.upstream", "cpu_us.load")
    return [name for name in figures if name.startswith("cpu_us.") and name not in others]


def _against(rounds: Sequence[Figures], base: Sequence[Figures]) -> dict[str, list[float]]:
    pairs = list(zip(rounds, base, strict=True))
    found = {
        f"added_{name}": [one[name] - other[name] for one, other in pairs]
        for name in _ADDED
        if all(name in one and name in other for one, other in pairs)
    }
    if all(one.get(_FASTER) and other.get(_FASTER) for one, other in pairs):
        found["to_base"] = [one[_FASTER] / other[_FASTER] for one, other in pairs]
    return found


def long_tailed(count: int, length: int, seed: int = 1) -> list[int]:
    """So many draws of 0 … count-1 by Zipf's law: the n-th is 1/n as frequent as the first."""
    weights = list(accumulate(1 / (rank + 1) for rank in range(count)))
    return random.Random(seed).choices(range(count), cum_weights=weights, k=length)  # noqa: S311


def one_hot(count: int, length: int, share: float = 0.9, seed: int = 1) -> list[int]:
    """So many draws of 0 … count-1, of which this share is 0."""
    draw = random.Random(seed)  # noqa: S311
    return [0 if draw.random() < share else draw.randrange(count) for _ in range(length)]
