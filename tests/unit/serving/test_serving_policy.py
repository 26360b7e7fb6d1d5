"""tollhouse.serving.policy: which policy is in force, and how reloads went."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from tests.support.policy import TREE, write_tree
from tollhouse.policy.compiled import Snapshot
from tollhouse.policy.compiler import load_snapshot
from tollhouse.policy.problems import PolicyError
from tollhouse.serving.policy import PolicyMetrics


class Watched:
    """The metrics, and what they say."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.metrics = PolicyMetrics(self.registry)

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"tollhouse_policy_{name}", labels)

    def reloads(self) -> tuple[float | None, float | None]:
        """(successes, failures)"""
        return (
            self.value("reloads_total", result="success"),
            self.value("reloads_total", result="failure"),
        )

    def versions(self) -> dict[str, float]:
        (info,) = (one for one in self.registry.collect() if one.name == "tollhouse_policy_info")
        return {one.labels["version"]: one.value for one in info.samples}


@pytest.fixture
def snapshot(tmp_path: Path) -> Snapshot:
    return load_snapshot(write_tree(tmp_path))


def error_of(directory: Path) -> PolicyError:
    """Two problems in one policy."""
    org = "organisation: acme\nzone: UTC\n"
    with pytest.raises(PolicyError) as refused:
        load_snapshot(write_tree(directory, org=org))
    assert len(refused.value.problems) == 2
    return refused.value


def test_before_any_load_both_results_are_at_zero() -> None:
    assert Watched().reloads() == (0, 0)


def test_a_load_shows_version_and_time(snapshot: Snapshot) -> None:
    watched, before = Watched(), time.time()
    watched.metrics.loaded(snapshot)
    assert watched.versions() == {snapshot.version: 1}
    assert watched.reloads() == (1, 0)
    loaded = watched.value("last_reload_success_timestamp_seconds")
    assert loaded is not None
    assert before <= loaded <= time.time()


def test_only_the_version_in_force_is_shown(snapshot: Snapshot, tmp_path: Path) -> None:
    edited = load_snapshot(write_tree(tmp_path / "edited", org="org: other\n"))
    watched = Watched()
    watched.metrics.loaded(snapshot)
    watched.metrics.loaded(edited)
    assert watched.versions() == {edited.version: 1}
    assert edited.version != snapshot.version


def test_a_refused_policy_leaves_the_last_good_one_in_force_and_stale(
    snapshot: Snapshot, tmp_path: Path
) -> None:
    watched = Watched()
    watched.metrics.loaded(snapshot)
    watched.metrics.failed(error_of(tmp_path / "bad"))
    assert watched.versions() == {snapshot.version: 1}
    assert (watched.reloads(), watched.value("stale")) == ((1, 1), 1)


def test_a_good_policy_after_a_refused_one_is_stale_no_more(
    snapshot: Snapshot, tmp_path: Path
) -> None:
    watched = Watched()
    watched.metrics.failed(error_of(tmp_path / "bad"))
    watched.metrics.loaded(snapshot)
    assert (watched.reloads(), watched.value("stale")) == ((1, 1), 0)


def test_every_problem_of_a_refused_policy_is_logged_with_its_place(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    error = error_of(tmp_path)
    Watched().metrics.failed(error)
    logged = [one.__dict__["fields"]["problem"] for one in caplog.records]
    assert logged == [str(problem) for problem in error.problems]
    assert [text.split(": ")[0] for text in logged] == ["org.yaml:1:1", "org.yaml:2:1"]
    assert {one.levelno for one in caplog.records} == {logging.ERROR}


class _Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_keys_are_counted_by_team_and_state_at_the_moment_of_the_scrape(tmp_path: Path) -> None:
    text = TREE["teams/web.yaml"] + "        expires: 2026-12-31T00:00:00Z\n"
    ops = "team: ops\nblocked: true\nprojects:\n  x:\n    keys:\n"
    ops += f"      - {{id: o, sha256: {'a' * 64}}}\n"
    snapshot = load_snapshot(write_tree(tmp_path, teams__web=text, teams__ops=ops))
    registry, clock = CollectorRegistry(), _Clock()
    PolicyMetrics(registry, clock).loaded(snapshot)

    def counts(team: str) -> list[float | None]:
        return [
            registry.get_sample_value("tollhouse_keys", {"team": team, "state": state})
            for state in ("active", "expiring", "expired", "blocked")
        ]

    def next_end(team: str) -> float | None:
        name = "tollhouse_keys_next_expiry_timestamp_seconds"
        return registry.get_sample_value(name, {"team": team})

    end = snapshot.keys["web-1"].expires_at
    assert end is not None
    clock.now = end - 15 * 86_400
    assert (counts("web"), next_end("web")) == ([1, 0, 0, 0], end)
    clock.now = end - 13 * 86_400
    assert counts("web") == [0, 1, 0, 0]
    clock.now = end
    assert (counts("web"), next_end("web")) == ([0, 0, 1, 0], float("inf"))
    assert (counts("ops"), next_end("ops")) == ([0, 0, 0, 1], float("inf"))


def test_a_team_that_is_gone_is_counted_no_more(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    metrics = PolicyMetrics(registry)
    metrics.loaded(load_snapshot(write_tree(tmp_path, teams__ops="team: ops\n")))
    (tmp_path / "teams/ops.yaml").unlink()
    metrics.loaded(load_snapshot(tmp_path))
    labels = {"team": "ops", "state": "active"}
    assert registry.get_sample_value("tollhouse_keys", labels) is None


def test_the_document_says_which_policy_is_in_force_and_since_when(snapshot: Snapshot) -> None:
    watched, before = Watched(), time.time()
    watched.metrics.loaded(snapshot)
    told = watched.metrics.document()
    assert before <= told.pop("loaded_at") <= time.time()
    assert told == {"version": snapshot.version, "stale": False, "problems": ()}


def test_the_document_says_why_the_files_are_not_in_force(
    snapshot: Snapshot, tmp_path: Path
) -> None:
    watched = Watched()
    watched.metrics.loaded(snapshot)
    error = error_of(tmp_path / "bad")
    watched.metrics.failed(error)
    told = watched.metrics.document()
    assert (told["version"], told["stale"]) == (snapshot.version, True)
    assert told["problems"] == tuple(str(problem) for problem in error.problems)


def test_a_bad_edit_that_is_taken_back_does_not_change_since_when(
    snapshot: Snapshot, tmp_path: Path
) -> None:
    watched = Watched()
    watched.metrics.loaded(snapshot)
    before = watched.metrics.document()
    watched.metrics.failed(error_of(tmp_path / "bad"))
    watched.metrics.loaded(snapshot)
    assert watched.metrics.document() == before
