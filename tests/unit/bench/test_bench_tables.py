"""The tables, and that the README's is what the last full run says."""

from __future__ import annotations

from typing import Any

from bench import report, results


def _case(rate: float) -> dict[str, Any]:
    spread = {"median": rate, "min": rate / 2, "max": rate * 2}
    return {"summary": {"requests_per_second": spread, "cpu_us.envoy": spread}}


def _result() -> dict[str, Any]:
    scenario = {
        "title": "small chat",
        "base": "bare",
        "cases": {"bare": _case(1000), "gateway": _case(250)},
        "failed": {"portkey": "all failed\nand more"},
    }
    return {
        "time": "2026-01-02T03:04:05+00:00",
        "command": "make bench",
        "machine": {"cpus": 2, "envoy": "1.40.0"},
        "peers": {"portkey": "1.15.2"},
        "scenarios": {"chat-32": scenario},
        "memory": {"gateway": {"envoy": {"first_mb": 1, "last_mb": 2, "mb_per_minute": 0.5}}},
        "answered_requests": 7,
    }


def test_the_readme_has_the_table_of_the_last_full_run() -> None:
    page = results.README.read_text()
    assert results.with_table(page, results.latest()) == page


def test_a_table_replaces_what_is_between_its_marks_and_nothing_else() -> None:
    page = "before\n<!-- bench: begin -->\nold\n<!-- bench: end -->\nafter\n"
    written = results.with_table(page, _result())
    assert written.startswith("before\n<!-- bench: begin -->\n|")
    assert written.endswith("<!-- bench: end -->\nafter\n")
    assert "old" not in written
    assert results.with_table(written, _result()) == written


def test_a_figure_stands_beside_its_least_and_most() -> None:
    assert "| Tollhouse | 250 (125 - 500) |" in report.markdown(_result())


def test_a_peer_that_failed_is_told_of_in_its_row() -> None:
    assert "| portkey | failed: all failed |" in report.markdown(_result())
