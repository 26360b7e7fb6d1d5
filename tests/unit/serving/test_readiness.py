"""tollhouse.serving.readiness: ready while no part reports a problem."""

from __future__ import annotations

from threading import Thread

from tollhouse.serving.readiness import Readiness


def test_a_service_is_ready_until_a_part_reports_a_problem() -> None:
    readiness = Readiness()
    assert (readiness.ready, readiness.problems) == (True, {})
    readiness.problem("redis", "away")
    assert (readiness.ready, readiness.problems) == (False, {"redis": "away"})


def test_it_is_ready_again_only_when_every_part_is_fine() -> None:
    readiness = Readiness()
    readiness.problem("redis", "away")
    readiness.problem("policy", "none")
    readiness.fine("redis")
    assert (readiness.ready, readiness.problems) == (False, {"policy": "none"})
    readiness.fine("policy")
    assert readiness.ready


def test_a_part_has_one_problem_at_a_time_the_latest() -> None:
    readiness = Readiness()
    readiness.problem("redis", "slow")
    readiness.problem("redis", "away")
    assert readiness.problems == {"redis": "away"}
    readiness.fine("redis")
    assert readiness.ready


def test_only_a_change_is_told() -> None:
    told: list[bool] = []
    readiness = Readiness(told.append)
    readiness.fine("redis")
    readiness.problem("redis", "slow")
    readiness.problem("redis", "away")
    readiness.problem("policy", "none")
    readiness.fine("redis")
    assert told == [False]
    readiness.fine("policy")
    readiness.fine("policy")
    assert told == [False, True]


def test_who_is_told_may_ask_back() -> None:
    # Health and /readyz read while a change is told. In a thread, for a lock that is still held
    # would be waited for without end.
    readiness = Readiness()
    seen: list[bool] = []
    readiness.on_change = lambda ready: seen.append(readiness.ready == ready)
    reporter = Thread(target=readiness.problem, args=("redis", "away"), daemon=True)
    reporter.start()
    reporter.join(10)
    assert seen == [True]


def test_what_was_read_does_not_change_behind_the_readers_back() -> None:
    readiness = Readiness()
    before = readiness.problems
    readiness.problem("redis", "away")
    before["policy"] = "mine"
    assert readiness.problems == {"redis": "away"}
