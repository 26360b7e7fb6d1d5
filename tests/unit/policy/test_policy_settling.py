"""A tree that is being written is read as one, or not at all. Time is the tests' own."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.policy import TREE, write_tree
from tollhouse.policy import git
from tollhouse.policy.compiled import Snapshot
from tollhouse.policy.compiler import PolicyLoader
from tollhouse.policy.problems import PolicyError, UnsettledError
from tollhouse.policy.settling import (
    LOOK_SECONDS,
    PATIENCE_SECONDS,
    QUIET_SECONDS,
    Clock,
    NotAtRest,
    read_at_rest,
)
from tollhouse.policy.source import PolicyDirectory
from tollhouse.policy.watch import KEEP_PREVIOUS_SECONDS, PolicyHolder


@dataclass
class Time:
    """Passes when somebody sleeps; `happens` is called at every step."""

    now: float = 100.0
    happens: Callable[[float], None] = lambda now: None

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.happens(self.now - 100.0)

    @property
    def clock(self) -> Clock:
        return Clock(lambda: self.now, self.sleep)


@dataclass
class Text:
    """A tree of one text. `during`: what is written to it while it is read, one a reading."""

    time: Time
    text: str = "old"
    during: Iterator[str] = field(default_factory=lambda: iter(()))
    works: str | None = None
    readings: int = 0

    def fingerprint(self) -> str:
        return self.text

    def unfinished(self) -> str | None:
        return self.works

    def read(self) -> str:
        self.readings += 1
        found = self.text
        self.text = next(self.during, self.text)
        return found

    def write_until(self, end: float) -> None:
        def write(now: float) -> None:
            if now < end:
                self.text = f"at {now:.2f}"

        self.time.happens = write


@pytest.fixture
def time() -> Time:
    return Time()


def test_a_tree_is_read_once_it_has_not_changed_for_a_while(time: Time) -> None:
    tree = Text(time)
    tree.write_until(1.0)
    reading = read_at_rest(tree, time.clock)
    assert (reading.found, reading.hurried, tree.readings) == (tree.text, False, 1)
    assert time.now - 100.0 == pytest.approx(1.0 + QUIET_SECONDS, abs=2 * LOOK_SECONDS)


def test_a_tree_that_is_known_to_rest_is_read_at_once(time: Time) -> None:
    assert read_at_rest(Text(time), time.clock, rested=True).found == "old"
    assert time.now == 100.0


@pytest.mark.parametrize("rested", [True, False])
def test_what_was_read_while_it_changed_does_not_count(time: Time, rested: bool) -> None:
    tree = Text(time, during=iter(["new"]))
    assert read_at_rest(tree, time.clock, rested=rested).found == "new"
    assert tree.readings == 2


def test_a_tree_that_never_rests_is_read_when_patience_ends(time: Time) -> None:
    tree = Text(time)
    tree.write_until(1_000)
    reading = read_at_rest(tree, time.clock)
    assert reading.hurried
    assert time.now - 100.0 == pytest.approx(PATIENCE_SECONDS, abs=LOOK_SECONDS)


def test_a_tree_that_changes_during_every_reading_is_not_taken(time: Time) -> None:
    tree = Text(time, during=(str(number) for number in itertools.count()))
    with pytest.raises(NotAtRest, match="files have kept changing for 5 s"):
        read_at_rest(tree, time.clock)


def test_nothing_is_read_while_another_program_says_that_it_is_not_done(time: Time) -> None:
    tree = Text(time, works="git is at work")
    with pytest.raises(NotAtRest, match="git is at work"):
        read_at_rest(tree, time.clock)
    assert tree.readings == 0


def test_the_tree_is_read_as_soon_as_the_other_program_is_done(time: Time) -> None:
    tree = Text(time, works="git is at work")

    def done(now: float) -> None:
        if now > 2:
            tree.works = None

    time.happens = done
    assert not read_at_rest(tree, time.clock).hurried
    assert time.now - 100.0 < 2 + QUIET_SECONDS


# A directory


def directory(path: Path, time: Time, *, age: float = 0.0) -> PolicyDirectory:
    """`age`: how long ago the tree seems to have been written."""
    written = (path / "org.yaml").stat().st_ctime
    return PolicyDirectory(path, clock=time.clock, wall=lambda: written + age)


def test_at_a_start_an_old_tree_is_not_waited_for(tmp_path: Path, time: Time) -> None:
    directory(write_tree(tmp_path), time, age=60).load()
    assert time.now == 100.0


def test_at_a_start_a_tree_written_just_now_is(tmp_path: Path, time: Time) -> None:
    directory(write_tree(tmp_path), time).load()
    assert time.now - 100.0 == pytest.approx(QUIET_SECONDS, abs=LOOK_SECONDS)


def test_a_file_that_is_half_written_for_a_moment_is_no_problem(tmp_path: Path, time: Time) -> None:
    source = directory(write_tree(tmp_path), time)
    (tmp_path / "models.yaml").write_text(TREE["models.yaml"][:20])

    def complete(now: float) -> None:
        if now > 0.1:
            (tmp_path / "models.yaml").write_text(TREE["models.yaml"])
            time.happens = lambda now: None

    time.happens = complete
    assert source.load().aliases


def test_a_file_that_stays_half_written_is_a_problem(tmp_path: Path, time: Time) -> None:
    source = directory(write_tree(tmp_path), time)
    (tmp_path / "models.yaml").write_text(TREE["models.yaml"][:20])
    with pytest.raises(PolicyError, match=r"models\.yaml"):
        source.load()


def test_a_tree_that_never_rests_is_taken_with_a_warning(
    tmp_path: Path, time: Time, caplog: pytest.LogCaptureFixture
) -> None:
    source = directory(write_tree(tmp_path), time)
    time.happens = lambda now: replace_org(tmp_path, f"at-{now:.2f}")
    assert source.load().org.name.startswith(("at-4.9", "at-5.0"))
    assert [one.getMessage() for one in caplog.records] == [
        "policy read although its files keep changing"
    ]


def replace_org(path: Path, name: str) -> None:
    (path / "org.yaml").write_text(f"org: {name}\n")


class Swapped(PolicyDirectory):
    """Its link is swapped in the middle of a reading, after `times` of them no more."""

    times = 1

    def read(self) -> Snapshot:
        if self.times:
            self.times -= 1
            link, _ = self._directory / "..data", mounted(self._directory, "2")
            (self._directory / "..new").rename(link)
            # What was resolved before the swap is read to its end, even if it is to be removed.
        return super().read()


def mounted(path: Path, version: str) -> Path:
    """A ConfigMap's mount: the files are links into ..data, itself a link that is to be swapped."""
    write_tree(path / f"..{version}", org=f"org: version-{version}\n")
    (path / "..new").symlink_to(f"..{version}")
    return path


def mount(path: Path) -> Path:
    mounted(path, "1")
    (path / "..new").rename(path / "..data")
    for name in ("org.yaml", "providers.yaml", "models.yaml", "teams"):
        (path / name).symlink_to(f"..data/{name}")
    return path


def test_a_mount_that_is_swapped_while_it_is_read_is_read_again(tmp_path: Path, time: Time) -> None:
    source = Swapped(mount(tmp_path), clock=time.clock)
    assert source.load().org.name == "version-2"


def test_a_mount_is_read_through_one_target_however_its_links_are_swapped_meanwhile(
    tmp_path: Path, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    mount(tmp_path)
    read_from = []

    loaded = PolicyLoader.load

    def load(loader: PolicyLoader, root: Path) -> Snapshot:
        read_from.append(root)
        return loaded(loader, root)

    monkeypatch.setattr(PolicyLoader, "load", load)
    PolicyDirectory(tmp_path, clock=time.clock).load()
    assert read_from == [(tmp_path / "..1").resolve()]


def test_a_file_beside_the_links_of_a_mount_is_read_too(tmp_path: Path, time: Time) -> None:
    (mount(tmp_path) / "keys").mkdir()
    (tmp_path / "keys/more.yaml").write_text("team: web\nproject: nowhere\nkeys: []\n")
    with pytest.raises(PolicyError, match=r"keys/more\.yaml"):
        PolicyDirectory(tmp_path, clock=time.clock).load()


# Git


def repository(path: Path) -> Path:
    subprocess.run(["git", "init", "-q", str(path)], check=True)  # noqa: S607
    return path


def test_while_git_holds_its_lock_the_policy_is_unsettled_and_then_it_is_read(
    tmp_path: Path, time: Time
) -> None:
    source = PolicyDirectory(write_tree(repository(tmp_path) / "policies"), clock=time.clock)
    lock = tmp_path / ".git/index.lock"
    lock.touch()
    with pytest.raises(UnsettledError, match=r"not read now: git is at work \(.*index\.lock\)"):
        source.load()
    lock.unlink()
    source.load()


def test_a_lock_that_git_left_behind_holds_nothing_back(tmp_path: Path) -> None:
    lock = tmp_path / "index.lock"
    lock.touch()
    written = lock.stat().st_mtime
    assert git.is_at_work(lock, lambda: written + git.LEFT_BEHIND_SECONDS - 1)
    assert not git.is_at_work(lock, lambda: written + git.LEFT_BEHIND_SECONDS + 1)


def test_the_lock_of_a_linked_worktree_is_where_its_git_file_says(tmp_path: Path) -> None:
    (tmp_path / ".git").write_text("gitdir: /srv/repo/.git/worktrees/live\n")
    assert git.lock_of(tmp_path / "policies") == Path("/srv/repo/.git/worktrees/live/index.lock")


# A holder


def test_what_is_unsettled_stays_unread_and_is_tried_again(tmp_path: Path, time: Time) -> None:
    policies = write_tree(repository(tmp_path) / "policies")
    holder = PolicyHolder(PolicyDirectory(policies, clock=time.clock))
    lock = tmp_path / ".git/index.lock"
    lock.touch()
    write_tree(policies, org="org: second\n")
    holder.reload()
    assert isinstance(holder.finding.error, UnsettledError)
    assert (holder.is_stale(), holder.current.org.name) == (True, "acme")
    lock.unlink()
    holder.refresh()
    assert (holder.finding.error, holder.is_stale()) == (None, False)
    assert holder.current.org.name == "second"


def test_the_policy_before_this_one_is_known_for_a_while(tmp_path: Path, time: Time) -> None:
    source = PolicyDirectory(write_tree(tmp_path), clock=time.clock)
    holder = PolicyHolder(source, clock=lambda: time.now)
    first = holder.current
    write_tree(tmp_path, org="org: second\n")
    holder.reload()
    holder.forget()
    assert holder.of_version(first.version) is first
    assert holder.of_version(holder.current.version) is holder.current
    assert holder.of_version("of nobody") is None
    time.now += KEEP_PREVIOUS_SECONDS + 1
    holder.forget()
    assert holder.of_version(first.version) is None


def test_a_refresh_reads_nothing_while_nothing_has_changed(tmp_path: Path, time: Time) -> None:
    holder = PolicyHolder(PolicyDirectory(write_tree(tmp_path), clock=time.clock))
    before = time.now
    holder.refresh()
    assert time.now == before
