"""What the benchmark computes of its measurements."""

from __future__ import annotations

from collections import Counter

import pytest

from bench import figures, session, soak


def test_a_ratio_is_taken_within_its_round_before_the_median() -> None:
    base = [{"requests_per_second": 100.0}, {"requests_per_second": 10.0}]
    rounds = [{"requests_per_second": 50.0}, {"requests_per_second": 1.0}]
    found = figures.summary(rounds, base)["to_base"]
    assert found == {"median": pytest.approx(0.3), "min": 0.1, "max": 0.5}


def test_added_latency_is_a_difference_within_a_round() -> None:
    found = figures.summary([{"p99_ms": 7.0}, {"p99_ms": 9.0}], [{"p99_ms": 2.0}, {"p99_ms": 1.0}])
    assert found["added_p99_ms"] == {"median": 6.5, "min": 5.0, "max": 8.0}
    assert "added_p50_ms" not in found


def test_a_figure_that_one_round_lacks_is_not_summarised() -> None:
    found = figures.summary([{"a": 1.0, "b": 2.0}, {"a": 3.0}], [{}, {}])
    assert set(found) == {"a"}


@pytest.mark.parametrize(
    ("percent", "value"), [(50, 50), (99, 99), (99.9, 100), (1, 1), (100, 100)]
)
def test_a_percentile_is_a_value_that_was_measured(percent: float, value: float) -> None:
    assert figures.percentile([float(n) for n in range(100, 0, -1)], percent) == value


def test_the_slope_of_memory_is_that_of_its_line() -> None:
    assert figures.slope([(0, 10), (1, 12), (2, 14)]) == pytest.approx(2)
    assert figures.slope([(1, 10)]) == 0


def test_of_long_tailed_keys_the_first_is_drawn_ten_times_as_often_as_the_tenth() -> None:
    drawn = Counter(figures.long_tailed(1_000, 100_000))
    assert drawn[0] / drawn[9] == pytest.approx(10, rel=0.2)
    assert len(drawn) > 900
    assert figures.long_tailed(1_000, 50) == figures.long_tailed(1_000, 50)


def test_a_hot_key_takes_its_share() -> None:
    drawn = Counter(figures.one_hot(100, 10_000, share=0.9))
    assert drawn[0] / 10_000 == pytest.approx(0.9, abs=0.02)
    assert len(drawn) == 100


def test_only_the_processes_of_the_target_are_its_parts() -> None:
    found = {"cpu_us.all": 3.0, "cpu_us.envoy": 2.0, "cpu_us.upstream": 9.0, "cpu_us.load": 9.0}
    assert figures.parts_of(found) == ["cpu_us.envoy"]


def test_a_case_that_failed_in_one_round_has_no_summary() -> None:
    rounds = {"bare": [{"p50_ms": 1.0}, {"p50_ms": 1.0}], "peer": [{"p50_ms": 5.0}]}
    assert set(session.summaries(rounds, "bare")) == {"bare"}


def test_where_the_base_failed_nothing_is_held_against_it() -> None:
    rounds: session.Rounds = {"bare": [], "gateway": [{"p50_ms": 1.0}]}
    assert session.summaries(rounds, "bare") == {}


def test_growth_of_memory_is_told_by_target_and_part() -> None:
    samples = [(60.0 * n, "gateway", "envoy", 1_000_000 * (50 + n)) for n in range(10)]
    found = session.memory(samples)["gateway"]["envoy"]
    assert found == {"first_mb": 50, "last_mb": 59, "mb_per_minute": pytest.approx(1)}


def test_a_soak_does_not_count_what_a_start_needs_as_growth() -> None:
    warm = [(float(n), 100.0) for n in range(10, 20)]
    cold = [(float(n), 10.0 * n) for n in range(10)]
    assert soak.growth({"envoy": cold + warm})["envoy"]["mb_per_minute"] == 0
