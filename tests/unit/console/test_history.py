"""The policies that were in force are kept, compared, and in the end forgotten."""

from __future__ import annotations

from pathlib import Path

import pytest

from console import history as module
from console.history import PolicyHistory
from tests.support.policy import TREE, write_tree
from tollhouse.policy import loader
from tollhouse.policy.compiler import load_snapshot


def kept(tmp_path: Path, history: PolicyHistory, minute: int, at: float) -> str:
    """Another version, in force from `at` on."""
    tree = write_tree(tmp_path / "tree", org=f"org: acme\nlimits: {{requests_per_day: {minute}}}\n")
    history.keep(loader.load(tree), at)
    return load_snapshot(tree).version


def test_a_version_that_was_kept_is_compiled_as_it_was(tmp_path: Path) -> None:
    history = PolicyHistory(tmp_path / "history")
    versions = [kept(tmp_path, history, n, 1_800_000_000.0 + n) for n in (1, 2)]
    assert [(each.version, each.since) for each in history.kept()] == [
        (versions[1], 1_800_000_002.0),
        (versions[0], 1_800_000_001.0),
    ]
    first = history.snapshot(versions[0])
    assert first is not None
    assert (first.version, first.org.limits.requests_per_day) == (versions[0], 1)
    assert first.teams.keys() == {"web"}


def test_the_same_version_is_kept_once_and_again_when_it_comes_back(tmp_path: Path) -> None:
    history = PolicyHistory(tmp_path / "history")
    versions = [
        kept(tmp_path, history, n, 1_800_000_000.0 + at) for at, n in enumerate([1, 1, 2, 1])
    ]
    assert [each.version for each in history.kept()] == [versions[3], versions[2], versions[0]]


def test_an_unknown_version_is_none_and_what_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    history = PolicyHistory(tmp_path / "history")
    kept(tmp_path, history, 1, 1_800_000_000.0)
    (tmp_path / "history/notes.json.gz").write_bytes(b"mine")
    assert history.snapshot("0" * 12) is None
    assert len(list(history.kept())) == 1


def test_nothing_was_kept_where_there_is_no_directory(tmp_path: Path) -> None:
    assert list(PolicyHistory(tmp_path / "none").kept()) == []


def test_the_oldest_are_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_VERSIONS", 3)
    history = PolicyHistory(tmp_path / "history")
    versions = [kept(tmp_path, history, n, 1_800_000_000.0 + n) for n in range(1, 6)]
    assert [each.version for each in history.kept()] == versions[:1:-1]


def test_the_newest_is_kept_however_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 1)
    history = PolicyHistory(tmp_path / "history")
    versions = [kept(tmp_path, history, n, 1_800_000_000.0 + n) for n in range(1, 3)]
    assert [each.version for each in history.kept()] == versions[1:]


def test_comments_are_kept_too(tmp_path: Path) -> None:
    history = PolicyHistory(tmp_path / "history")
    tree = write_tree(tmp_path / "tree", org="# why\norg: acme\n")
    history.keep(loader.load(tree), 1_800_000_000.0)
    assert set(history.texts(load_snapshot(tree).version) or {}) == set(TREE)
    assert "# why" in (history.texts(load_snapshot(tree).version) or {})["org.yaml"]
