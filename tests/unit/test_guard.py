"""bench.guard.comparing: which figures of a run fail the regression guard, and which are told."""

from __future__ import annotations

import sys

import pytest

from bench.guard import baseline
from bench.guard.baseline import Baseline
from bench.guard.comparing import INSTRUCTIONS, Figure, Finding, Verdict, compare

TOLERANCES = {INSTRUCTIONS: 0.05, "scripts": 0.0}


def instructions(relative: float, amount: float = 1_000.0) -> Figure:
    return Figure(amount, INSTRUCTIONS, relative)


def found(measured: Figure, before: Figure) -> Finding:
    (finding,) = compare({"path": measured}, {"path": before}, TOLERANCES)
    return finding


@pytest.mark.parametrize(
    ("relative", "verdict"),
    [
        (1.06, Verdict.WORSE),
        (1.04, Verdict.AS_BEFORE),
        (0.96, Verdict.AS_BEFORE),
        (0.94, Verdict.BETTER),
    ],
)
def test_a_path_is_worse_or_better_by_more_than_the_tolerance_only(
    relative: float, verdict: Verdict
) -> None:
    assert found(instructions(2 * relative), instructions(2)).verdict is verdict


def test_what_is_worse_fails_the_guard_and_what_is_better_is_told_only() -> None:
    failing = {verdict for verdict in Verdict if verdict.fails}
    assert failing == {Verdict.WORSE, Verdict.NEW, Verdict.GONE}
    assert "renew the baseline" in Verdict.BETTER.value


def test_it_is_the_ratio_to_the_reference_that_counts_not_the_instructions() -> None:
    """Another build of Python takes more instructions for both."""
    slower_build = instructions(2, amount=1_500)
    assert found(slower_build, instructions(2, amount=1_000)).verdict is Verdict.AS_BEFORE


def test_one_script_more_is_worse() -> None:
    assert found(Figure(2, "scripts", 2), Figure(1, "scripts", 1)).verdict is Verdict.WORSE


def test_a_path_that_the_baseline_does_not_have_fails_until_it_is_renewed() -> None:
    (finding,) = compare({"new": instructions(1)}, {}, TOLERANCES)
    assert (finding.name, finding.verdict) == ("new", Verdict.NEW)
    counted_otherwise = found(instructions(1), Figure(1, "scripts", 1))
    assert counted_otherwise.verdict is Verdict.NEW


def test_a_path_of_the_baseline_that_is_not_measured_any_more_fails() -> None:
    (finding,) = compare({}, {"gone": instructions(1)}, TOLERANCES)
    assert (finding.name, finding.verdict) == ("gone", Verdict.GONE)


def test_another_build_of_python_than_the_baselines_has_twice_the_room() -> None:
    same, other = (Baseline(python, {}).tolerances for python in (sys.version, "3.11.2 (another)"))
    assert (same[INSTRUCTIONS], other[INSTRUCTIONS]) == (0.05, 0.1)
    assert same["scripts"] == other["scripts"] == 0


def test_the_stored_baseline_has_figures_of_every_engine_in_known_units() -> None:
    stored = baseline.read()
    assert {figure.unit for figure in stored.figures.values()} == stored.tolerances.keys()
    engines = {name.partition(":")[0] for name in stored.figures}
    assert engines == {"authz", "ratelimit", "lua", "redis"}
