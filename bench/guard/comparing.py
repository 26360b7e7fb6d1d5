"""Figures of a run against those of the baseline. Pure.

A figure is what one operation takes: instructions, divided by what the reference work of the same
engine takes in the same run; or a count that is the same everywhere (commands, bytes).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

INSTRUCTIONS = "instructions"


class Verdict(Enum):
    """What became of a path. All but the first two fail the guard."""

    AS_BEFORE = ""
    BETTER = "better: renew the baseline"
    WORSE = "WORSE"
    NEW = "NOT IN THE BASELINE"
    GONE = "IN THE BASELINE, AND NOT MEASURED"

    @property
    def fails(self) -> bool:
        """Whether the guard fails by it."""
        return self not in (Verdict.AS_BEFORE, Verdict.BETTER)


@dataclass(frozen=True, slots=True)
class Figure:
    """`amount` in `unit`; `relative` is what is compared: the amount, in units of the reference
    where it has one."""

    amount: float
    unit: str
    relative: float


@dataclass(frozen=True, slots=True)
class Finding:
    """`change` is how much more it is than in the baseline, 0.1 for a tenth; None where there is
    nothing to compare with."""

    name: str
    verdict: Verdict
    figure: Figure
    change: float | None = None


def compare(
    measured: Mapping[str, Figure],
    baseline: Mapping[str, Figure],
    tolerances: Mapping[str, float],
) -> Iterator[Finding]:
    """In the order of the run; then what is missing in it. `tolerances` by unit."""
    for name, figure in measured.items():
        before = baseline.get(name)
        if before is None or before.unit != figure.unit:
            yield Finding(name, Verdict.NEW, figure)
            continue
        change = figure.relative / before.relative - 1
        yield Finding(name, _verdict(change, tolerances[figure.unit]), figure, change)
    for name in baseline.keys() - measured.keys():
        yield Finding(name, Verdict.GONE, baseline[name])


def _verdict(change: float, tolerance: float) -> Verdict:
    if abs(change) <= tolerance:
        return Verdict.AS_BEFORE
    return Verdict.WORSE if change > 0 else Verdict.BETTER
