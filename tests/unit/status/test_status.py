"""The parts of a gateway agree on one policy, or the one that does not is marked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.policy import write_tree
from tollhouse.policy.compiler import load_snapshot
from tollhouse.status import ask, screen
from tollhouse.status.report import Part, Report

DISK = Part("disk", "/policies", "aaaa")
AUTHZ = Part("authz", "http://authz", "aaaa", since=1_795_521_600.0)
RATELIMIT = Part("ratelimit", "http://ratelimit", "aaaa", since=1_795_521_601.0)
ENVOY = Part("envoy", "http://envoy", "aaaa", refusals=0)
ALL = (DISK, AUTHZ, RATELIMIT, ENVOY)


def marked(report: Report) -> list[str]:
    return [line.split()[1] for line in screen.lines(report) if line.startswith("!")]


def test_all_are_well_when_they_are_ready_and_have_one_version() -> None:
    report = Report(ALL)
    assert (report.all_well, report.version, marked(report)) == (True, "aaaa", [])
    assert list(screen.lines(report))[-1] == "All are ready and go by policy aaaa."


@pytest.mark.parametrize(
    "changed",
    [
        replace(AUTHZ, version="bbbb"),
        replace(AUTHZ, ready=False),
        replace(AUTHZ, stale=True, problem="org.yaml:1:1: unknown field 'x'"),
        replace(AUTHZ, version=None, ready=False, problem="http://authz does not answer"),
    ],
)
def test_the_part_that_is_not_well_is_marked(changed: Part) -> None:
    report = Report((DISK, changed, RATELIMIT, ENVOY))
    assert (report.all_well, marked(report)) == (False, ["authz"])
    last = "1 of 4 (marked !) not ready, or not by policy aaaa."
    assert list(screen.lines(report))[-1] == last


def test_what_is_on_disk_is_what_all_should_have() -> None:
    report = Report((replace(DISK, version="bbbb"), AUTHZ, RATELIMIT, ENVOY))
    assert (report.version, marked(report)) == ("bbbb", ["authz", "ratelimit", "envoy"])


def test_while_the_disk_is_bad_the_others_should_have_what_most_have() -> None:
    bad = replace(DISK, version=None, ready=False, problem="org.yaml:1:1: broken")
    report = Report((bad, AUTHZ, RATELIMIT, replace(ENVOY, version="bbbb")))
    assert (report.version, marked(report)) == ("aaaa", ["disk", "envoy"])


def test_nobody_who_tells_a_version_is_not_well() -> None:
    assert not Report((replace(AUTHZ, version=None, ready=False),)).all_well


def test_a_line_tells_version_time_state_and_place() -> None:
    lines = list(screen.lines(Report((*ALL[:3], replace(ENVOY, refusals=2)))))
    assert lines[2].split() == [
        *("authz", "aaaa", "2026-11-24", "12:00:00", "ready", "http://authz")
    ]
    assert "ready, 2 refused" in lines[4]


def test_a_problem_is_told_below_with_its_part() -> None:
    stale = replace(AUTHZ, stale=True, problem="org.yaml:1:1: unknown field 'x'")
    assert "authz http://authz: org.yaml:1:1: unknown field 'x'" in screen.lines(Report((stale,)))


def test_a_script_gets_every_part_and_the_verdict() -> None:
    told = Report((DISK, replace(AUTHZ, version="bbbb"))).to_json()
    assert (told["ok"], told["version"]) == (False, "aaaa")
    assert [(part["kind"], part["ok"]) for part in told["parts"]] == [
        ("disk", True),
        ("authz", False),
    ]


# Asking


def test_the_tree_on_disk_is_read_as_the_services_read_it(tmp_path: Path) -> None:
    version = load_snapshot(write_tree(tmp_path)).version
    [disk] = ask.ask(ask.Places(policies=tmp_path)).parts
    assert (disk.version, disk.ready) == (version, True)
    write_tree(tmp_path, org="orgg: x\n")
    [disk] = ask.ask(ask.Places(policies=tmp_path)).parts
    assert (disk.version, disk.ready) == (None, False)
    assert disk.problem is not None
    assert disk.problem.startswith("org.yaml:1:1: unknown field 'orgg'")


def test_a_part_that_does_not_answer_is_not_ready_and_says_so() -> None:
    asked = ask.Places(("127.0.0.1:1",), ("http://127.0.0.1:1/metrics",), ("127.0.0.1:1",))
    for part in ask.ask(asked).parts:
        assert (part.ready, part.where) == (False, "http://127.0.0.1:1")
        assert part.problem is not None
        assert "does not answer" in part.problem


def test_without_a_gateway_in_the_run_directory_there_is_nothing_to_ask(tmp_path: Path) -> None:
    with pytest.raises(ask.NothingToAsk, match="no gateway runs in"):
        ask.places_of(tmp_path)
