"""Keeps the policy in force current while its files are edited."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from watchfiles import awatch

from tollhouse.policy.compiled import Snapshot
from tollhouse.policy.compiler import load_snapshot
from tollhouse.policy.loader import policy_files
from tollhouse.policy.problems import PolicyError

_POLL_SECONDS = 1.0
_DEBOUNCE_MS = 100  # an editor's save is several events: truncate, write, rename

Fingerprint = tuple[tuple[str, int, int, int, int], ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """What a reading of the files found: the snapshot in force, and why it is not theirs.

    `error` is None while it is; `files` then is empty, so that equal policies are equal findings.
    """

    snapshot: Snapshot
    error: PolicyError | None = None
    files: Fingerprint = ()

    def says_the_same(self, other: "Finding") -> bool:
        """Whether there is nothing in it that `other` has not told."""
        return self._told() == other._told()

    def _told(self) -> tuple[object, ...]:
        problems = self.error.problems if self.error else None
        return (self.snapshot.version, problems, self.files)


class PolicyHolder:
    """The snapshot in force, replaced as one reference, so that readers need no lock.

    Raises:
        PolicyError: there is no good policy to begin with.
    """

    def __init__(self, directory: Path, *, allow_demo_keys: bool = False) -> None:
        self.directory = directory
        self._allow_demo_keys = allow_demo_keys
        self._reading = threading.Lock()
        # Taken before the files are read: an edit in between then shows as a difference.
        self._fingerprint = fingerprint(directory)
        self._finding = Finding(self._load())

    @property
    def current(self) -> Snapshot:
        """The last good snapshot."""
        return self._finding.snapshot

    @property
    def finding(self) -> Finding:
        """What the last reading found; the same object until one finds something else."""
        return self._finding

    def is_stale(self) -> bool:
        """Whether the files have changed since they were last read, good or bad."""
        return fingerprint(self.directory) != self._fingerprint

    def reload(self) -> None:
        """Read the files again, from any thread; a bad policy leaves the last good one in force."""
        with self._reading:
            self._fingerprint = fingerprint(self.directory)
            try:
                found = Finding(self._load())
            except PolicyError as error:
                found = Finding(self.current, error, self._fingerprint)
            if not found.says_the_same(self._finding):
                self._finding = found

    def _load(self) -> Snapshot:
        return load_snapshot(self.directory, allow_demo_keys=self._allow_demo_keys)


def fingerprint(directory: Path) -> Fingerprint:
    """Name, change and modification time (ns), size and inode of every policy file.

    Symlinks are followed. The change time betrays a write that keeps the modification time.
    """
    try:
        return tuple(_stat(path) for path in policy_files(directory))
    except OSError:
        return ()


def _stat(path: Path) -> tuple[str, int, int, int, int]:
    try:
        status = path.stat()
    except OSError:
        return (str(path), 0, 0, 0, 0)
    times = (status.st_ctime_ns, status.st_mtime_ns)
    return (str(path), *times, status.st_size, status.st_ino)


async def watch(
    holder: PolicyHolder,
    stop: asyncio.Event,
    *,
    on_success: Callable[[Snapshot], None],
    on_failure: Callable[[PolicyError], None],
) -> None:
    """Reload whenever the files change, until `stop` is set.

    A change is seen at once through the kernel's notifications, and within a second by comparing
    fingerprints where those are missing (network file systems, exhausted watches, a directory
    that was replaced). Each new finding is reported once: `on_success` for a snapshot now in
    force (also when a bad edit was taken back), `on_failure` for a policy that was not taken.
    """
    reported = holder.finding
    async for noticed in _ticks(holder.directory, stop):
        # A notification is believed even if the fingerprint agrees: two writes within one tick
        # of the kernel's clock share their time stamps.
        if noticed or await asyncio.to_thread(holder.is_stale):
            await asyncio.to_thread(holder.reload)
        # Somebody else may have reloaded: what counts is what has not been reported.
        if holder.finding is reported:
            continue
        reported = holder.finding
        if reported.error:
            on_failure(reported.error)
        else:
            on_success(reported.snapshot)


async def _ticks(directory: Path, stop: asyncio.Event) -> AsyncIterator[bool]:
    """At least one tick a second, true when the kernel noticed a change."""
    with suppress(OSError, RuntimeError):  # no such directory; the kernel's watches are exhausted
        async for changes in awatch(
            directory,
            stop_event=stop,
            debounce=_DEBOUNCE_MS,
            rust_timeout=int(_POLL_SECONDS * 1000),
            yield_on_timeout=True,
        ):
            yield bool(changes)
    while not stop.is_set():
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), _POLL_SECONDS)
        yield False
