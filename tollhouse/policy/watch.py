"""Keeps the policy in force current while its files are edited."""

import asyncio
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
class ReloadResult:
    """What a reload found. `changed`: it differs from what the reload before found."""

    changed: bool
    error: PolicyError | None = None


class PolicyHolder:
    """The snapshot in force, replaced as one reference, so that readers need no lock.

    Raises:
        PolicyError: there is no good policy to begin with.
    """

    def __init__(self, directory: Path, *, allow_demo_keys: bool = False) -> None:
        self.directory = directory
        self._allow_demo_keys = allow_demo_keys
        # Taken before the files are read: an edit in between then shows as a difference.
        self._fingerprint = fingerprint(directory)
        self._current = self._load()
        self._failed: tuple[object, ...] | None = None

    @property
    def current(self) -> Snapshot:
        """The last good snapshot."""
        return self._current

    def is_stale(self) -> bool:
        """Whether the files have changed since they were last read, good or bad."""
        return fingerprint(self.directory) != self._fingerprint

    def reload(self) -> ReloadResult:
        """Read the files again; a bad policy leaves the last good one in force."""
        self._fingerprint = fingerprint(self.directory)
        try:
            snapshot = self._load()
        except PolicyError as error:
            failure = (self._fingerprint, error.problems)
            changed, self._failed = failure != self._failed, failure
            return ReloadResult(changed, error)
        changed = self._failed is not None or snapshot.version != self._current.version
        self._current, self._failed = snapshot, None
        return ReloadResult(changed)

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
    async for noticed in _ticks(holder.directory, stop):
        # A notification is believed even if the fingerprint agrees: two writes within one tick
        # of the kernel's clock share their time stamps.
        if noticed or await asyncio.to_thread(holder.is_stale):
            result = await asyncio.to_thread(holder.reload)
            if result.changed and result.error:
                on_failure(result.error)
            elif result.changed:
                on_success(holder.current)


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
