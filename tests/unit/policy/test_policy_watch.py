"""Edits come into force, bad ones do not, and no change is missed."""

import asyncio
import itertools
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from tests.support.policy import write_tree
from tollhouse.policy.compiled import Snapshot
from tollhouse.policy.problems import PolicyError
from tollhouse.policy.source import Fingerprint, PolicyDirectory
from tollhouse.policy.watch import PolicyHolder, watch

DEADLINE_SECONDS = 10.0
BAD = "orgg: b\n"


class Watcher:
    """A running watch and what it reported, in order."""

    def __init__(self, holder: PolicyHolder) -> None:
        self.holder = holder
        self.reports: asyncio.Queue[Snapshot | PolicyError] = asyncio.Queue()

    async def next_report(self) -> Snapshot | PolicyError:
        return await asyncio.wait_for(self.reports.get(), DEADLINE_SECONDS)

    async def next_org(self) -> str:
        report = await self.next_report()
        assert isinstance(report, Snapshot)
        assert report is self.holder.current
        return report.org.name


@asynccontextmanager
async def watched(directory: Path) -> AsyncIterator[Watcher]:
    watcher, stop = Watcher(PolicyHolder(PolicyDirectory(directory))), asyncio.Event()
    put = watcher.reports.put_nowait
    task = asyncio.create_task(watch(watcher.holder, stop, on_success=put, on_failure=put))
    try:
        yield watcher
    finally:
        stop.set()
        await asyncio.wait_for(task, 5)


def replace(path: Path, text: str) -> None:
    beside = path.with_name(f".{path.name}.new")
    beside.write_text(text)
    beside.rename(path)


def test_a_holder_does_not_begin_with_a_bad_policy(tmp_path: Path):
    with pytest.raises(PolicyError):
        PolicyHolder(PolicyDirectory(write_tree(tmp_path, org=BAD)))


def test_a_reload_puts_a_good_policy_in_force(tmp_path: Path):
    holder = PolicyHolder(PolicyDirectory(write_tree(tmp_path)))
    write_tree(tmp_path, org="org: second\n")
    assert holder.is_stale()
    holder.reload()
    assert (holder.current.org.name, holder.is_stale()) == ("second", False)


def test_a_bad_policy_keeps_the_last_good_one_in_force(tmp_path: Path):
    holder = PolicyHolder(PolicyDirectory(write_tree(tmp_path)))
    before = holder.current
    write_tree(tmp_path, org=BAD)
    holder.reload()
    assert "unknown field 'orgg'" in str(holder.finding.error)
    assert holder.current is before


def test_a_removed_policy_directory_keeps_the_last_good_one_in_force(tmp_path: Path):
    holder = PolicyHolder(PolicyDirectory(write_tree(tmp_path / "p")))
    before = holder.current
    shutil.rmtree(tmp_path / "p")
    holder.reload()
    assert holder.finding.error is not None
    assert holder.current is before


def test_the_same_failure_is_new_only_once(tmp_path: Path):
    holder = PolicyHolder(PolicyDirectory(write_tree(tmp_path)))
    write_tree(tmp_path, org=BAD)
    holder.reload()
    first = holder.finding
    holder.reload()
    assert holder.finding is first


def test_another_failure_is_new(tmp_path: Path):
    holder = PolicyHolder(PolicyDirectory(write_tree(tmp_path)))
    write_tree(tmp_path, org=BAD)
    holder.reload()
    first = holder.finding
    write_tree(tmp_path, org=BAD + "org: x\n")
    holder.reload()
    assert holder.finding is not first


def test_taking_a_bad_edit_back_is_a_change_although_the_version_is_the_same(tmp_path: Path):
    holder = PolicyHolder(PolicyDirectory(write_tree(tmp_path)))
    version = holder.current.version
    write_tree(tmp_path, org=BAD)
    holder.reload()
    failure = holder.finding
    write_tree(tmp_path)
    holder.reload()
    assert holder.finding is not failure
    assert (holder.finding.error, holder.current.version) == (None, version)


def test_reading_unchanged_files_again_is_no_change(tmp_path: Path):
    holder = PolicyHolder(PolicyDirectory(write_tree(tmp_path)))
    before = holder.finding
    holder.reload()
    assert holder.finding is before


async def test_what_somebody_else_reloaded_is_reported_all_the_same(tmp_path: Path):
    async with watched(write_tree(tmp_path)) as watcher:
        replace(tmp_path / "org.yaml", BAD)
        assert isinstance(await watcher.next_report(), PolicyError)
        replace(tmp_path / "org.yaml", "org: repaired\n")
        watcher.holder.reload()
        assert await watcher.next_org() == "repaired"


def test_a_holder_told_to_allow_demo_keys_does_so_after_a_reload_too(tmp_path: Path):
    example = shutil.copytree(Path(__file__).parents[3] / "policies", tmp_path / "p")
    holder = PolicyHolder(PolicyDirectory(example, allow_demo_keys=True))
    holder.reload()
    assert all(key.blocked_at is None for key in holder.current.keys.values())


async def test_an_edit_is_in_force_within_two_seconds(tmp_path: Path):
    async with watched(write_tree(tmp_path)) as watcher:
        for name in ("second", "third"):
            (tmp_path / "org.yaml").write_text(f"org: {name}\n")
            async with asyncio.timeout(2):
                assert await watcher.next_org() == name


async def test_a_file_renamed_into_place_is_seen(tmp_path: Path):
    async with watched(write_tree(tmp_path)) as watcher:
        replace(tmp_path / "org.yaml", "org: second\n")
        assert await watcher.next_org() == "second"


async def test_a_new_team_file_is_seen(tmp_path: Path):
    async with watched(write_tree(tmp_path)) as watcher:
        replace(tmp_path / "teams" / "ops.yaml", "team: ops\n")
        report = await watcher.next_report()
        assert isinstance(report, Snapshot)
        assert set(report.teams) == {"web", "ops"}


async def test_a_symlink_swap_as_kubernetes_does_it_is_seen(tmp_path: Path):
    for version in ("1", "2"):
        write_tree(tmp_path / f"..{version}", org=f"org: version-{version}\n")
    (tmp_path / "..data").symlink_to("..1")
    for name in ("org.yaml", "providers.yaml", "models.yaml", "teams"):
        (tmp_path / name).symlink_to(f"..data/{name}")
    async with watched(tmp_path) as watcher:
        assert watcher.holder.current.org.name == "version-1"
        (tmp_path / "..tmp").symlink_to("..2")
        (tmp_path / "..tmp").rename(tmp_path / "..data")
        assert await watcher.next_org() == "version-2"


async def test_a_replaced_directory_is_seen_though_the_kernel_watches_the_old_one(tmp_path: Path):
    for version in ("1", "2"):
        write_tree(tmp_path / version, org=f"org: version-{version}\n")
    (tmp_path / "current").symlink_to("1")
    async with watched(tmp_path / "current") as watcher:
        (tmp_path / "next").symlink_to("2")
        (tmp_path / "next").rename(tmp_path / "current")
        assert await watcher.next_org() == "version-2"


async def test_a_directory_that_cannot_be_watched_is_polled(tmp_path: Path):
    holder = PolicyHolder(PolicyDirectory(write_tree(tmp_path / "p")))
    (tmp_path / "p").rename(tmp_path / "away")
    stop, reports = asyncio.Event(), asyncio.Queue[Snapshot | PolicyError]()
    put = reports.put_nowait
    task = asyncio.create_task(watch(holder, stop, on_success=put, on_failure=put))
    assert isinstance(await asyncio.wait_for(reports.get(), DEADLINE_SECONDS), PolicyError)
    write_tree(tmp_path / "away", org="org: second\n")
    (tmp_path / "away").rename(tmp_path / "p")
    assert isinstance(await asyncio.wait_for(reports.get(), DEADLINE_SECONDS), Snapshot)
    stop.set()
    await asyncio.wait_for(task, 5)
    assert holder.current.org.name == "second"


async def test_an_edit_made_before_the_watch_began_is_seen(tmp_path: Path):
    holder = PolicyHolder(PolicyDirectory(write_tree(tmp_path)))
    write_tree(tmp_path, org="org: second\n")
    stop, reports = asyncio.Event(), asyncio.Queue[Snapshot | PolicyError]()
    put = reports.put_nowait
    task = asyncio.create_task(watch(holder, stop, on_success=put, on_failure=put))
    assert isinstance(await asyncio.wait_for(reports.get(), DEADLINE_SECONDS), Snapshot)
    stop.set()
    await asyncio.wait_for(task, 5)


async def test_a_bad_edit_is_reported_once_and_its_repair_too(tmp_path: Path):
    async with watched(write_tree(tmp_path)) as watcher:
        before = watcher.holder.current
        replace(tmp_path / "org.yaml", BAD)
        report = await watcher.next_report()
        assert isinstance(report, PolicyError)
        assert str(report).startswith("org.yaml:1:1: unknown field 'orgg'")
        assert watcher.holder.current is before
        replace(tmp_path / "org.yaml", "org: repaired\n")
        assert await watcher.next_org() == "repaired"


def test_a_write_that_keeps_time_size_and_inode_makes_the_policy_stale(tmp_path: Path):
    path = write_tree(tmp_path, org="org: aaaa\n") / "org.yaml"
    status, holder = path.stat(), PolicyHolder(PolicyDirectory(tmp_path))
    path.write_text("org: bbbb\n")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    after = path.stat()
    assert (after.st_mtime_ns, after.st_size) == (status.st_mtime_ns, status.st_size)
    assert after.st_ino == status.st_ino
    assert holder.is_stale()


class SameStamps(PolicyDirectory):
    """A policy whose files carry the same stamps whatever is written to them."""

    def fingerprint(self) -> Fingerprint:
        return ()


async def test_a_notification_is_believed_though_the_stamps_are_alike(tmp_path: Path):
    holder, reported = PolicyHolder(SameStamps(write_tree(tmp_path))), asyncio.Event()
    stop = asyncio.Event()
    task = asyncio.create_task(
        watch(holder, stop, on_success=lambda _: reported.set(), on_failure=lambda _: None)
    )
    async with asyncio.timeout(10):
        # The kernel's watch is in place some time after the task begins, and says nothing of it.
        for edit in itertools.count():
            replace(tmp_path / "org.yaml", f"org: edit-{edit}\n")
            with suppress(TimeoutError):
                await asyncio.wait_for(reported.wait(), 0.5)
            if reported.is_set():
                break
    stop.set()
    await asyncio.wait_for(task, 5)
    assert holder.current.org.name.startswith("edit-")


async def test_a_watch_can_be_cancelled(tmp_path: Path):
    holder = PolicyHolder(PolicyDirectory(write_tree(tmp_path)))
    task = asyncio.create_task(
        watch(holder, asyncio.Event(), on_success=lambda _: None, on_failure=lambda _: None)
    )
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 5)
