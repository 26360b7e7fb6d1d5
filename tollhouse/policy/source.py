"""Where a policy comes from: a directory of files, watched. Others keep to the same protocol."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from watchfiles import awatch

from tollhouse.policy.compiled import Snapshot
from tollhouse.policy.compiler import PolicyLoader
from tollhouse.policy.git import is_at_work, lock_of
from tollhouse.policy.loader import policy_files
from tollhouse.policy.problems import PolicyError, PolicyProblem, UnsettledError
from tollhouse.policy.settling import Clock, NotAtRest, read_at_rest

log = logging.getLogger("tollhouse.policy")

_POLL_SECONDS = 1.0
_OLD_SECONDS = 10.0
_CLOCK = Clock()
_DEBOUNCE_MS = 100  # an editor's save is several events: truncate, write, rename

Fingerprint = tuple[tuple[str, int, int, int, int], ...]


class PolicySource(Protocol):
    """What a `PolicyHolder` reads. Called from any thread."""

    def load(self) -> Snapshot:
        """The policy as it is now. Raises PolicyError; UnsettledError if it cannot be told yet."""
        ...

    def fingerprint(self) -> object:
        """Cheap; another one whenever `load` may give something else."""
        ...

    def ticks(self, stop: asyncio.Event) -> AsyncIterator[bool]:
        """At least one a second until `stop` is set; true when something surely changed."""
        ...


class Loads(Protocol):
    """Reads a policy directory again and again."""

    def load(self, directory: Path) -> Snapshot:
        """Raises PolicyError."""
        ...


class PolicyDirectory:
    """A policy tree on disk, read as one: never half a file, never half of an edit.

    `loader` reads the files, by default as `PolicyLoader`. `clock` and `wall` (seconds since the
    epoch) are for tests.
    """

    def __init__(
        self,
        directory: Path,
        *,
        allow_demo_keys: bool = False,
        loader: Loads | None = None,
        clock: Clock = _CLOCK,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._directory = directory
        self._loader = loader or PolicyLoader(allow_demo_keys=allow_demo_keys)
        self._clock = clock
        self._wall = wall
        self._is_first = True

    def load(self) -> Snapshot:
        """Waits until the tree is at rest (see `settling`). Raises PolicyError, UnsettledError."""
        rested, self._is_first = self._is_first and self._is_old(), False
        try:
            reading = read_at_rest(_Files(self), self._clock, rested=rested)
        except NotAtRest as error:
            problem = PolicyProblem(str(self._directory), 1, 1, f"not read now: {error}")
            raise UnsettledError([problem]) from None
        if reading.hurried:
            log.warning(
                "policy read although its files keep changing",
                extra={"fields": {"policies": str(self._directory)}},
            )
        if isinstance(reading.found, PolicyError):
            raise reading.found
        return reading.found

    def read(self) -> Snapshot:
        """The policy as the files say at this moment. Raises PolicyError."""
        return self._loader.load(_root(self._directory))

    def fingerprint(self) -> Fingerprint:
        """Name, change and modification time (ns), size and inode of every policy file.

        Symlinks are followed. The change time betrays a write that keeps the modification time.
        """
        try:
            return tuple(_stat(path) for path in policy_files(self._directory))
        except OSError:
            return ()

    def unfinished(self) -> str | None:
        """What git is in the middle of, if the tree is in a repository."""
        lock = lock_of(self._directory.absolute())
        return f"git is at work ({lock})" if lock and is_at_work(lock, self._wall) else None

    def _is_old(self) -> bool:
        """Whether the last change was so long ago that no clock is so wrong."""
        folders = (self._directory, self._directory / "teams", self._directory / "keys")
        changed = [_stat(folder)[1] for folder in folders]
        changed += [change for _, change, *_ in self.fingerprint()]
        return max(changed) / 1e9 < self._wall() - _OLD_SECONDS

    async def ticks(self, stop: asyncio.Event) -> AsyncIterator[bool]:
        """At once through the kernel's notifications, within a second where those are missing
        (network file systems, exhausted watches, a directory that was replaced)."""
        # No such directory; the kernel's watches are exhausted.
        with suppress(OSError, RuntimeError):
            async for changes in awatch(
                self._directory,
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


def _stat(path: Path) -> tuple[str, int, int, int, int]:
    try:
        status = path.stat()
    except OSError:
        return (str(path), 0, 0, 0, 0)
    times = (status.st_ctime_ns, status.st_mtime_ns)
    return (str(path), *times, status.st_size, status.st_ino)


class _Files:
    """A directory as `read_at_rest` wants it: problems are findings that a change makes void."""

    def __init__(self, directory: PolicyDirectory) -> None:
        self.fingerprint = directory.fingerprint
        self.unfinished = directory.unfinished
        self._read = directory.read

    def read(self) -> Snapshot | PolicyError:
        try:
            return self._read()
        except PolicyError as error:
            return error


def _root(directory: Path) -> Path:
    """Where the files really are, every link on the way to them resolved once.

    A link that is swapped while files are read (`current`, Kubernetes' `..data`) then does not mix
    two versions.
    """
    try:
        names, data = _names(directory), directory / "..data"
        # A folder may hold more than the links of one mount.
        mounted = data.is_symlink() and _names(data) == names
        return (data if mounted else directory).resolve(strict=True)
    except OSError:
        return directory


def _names(directory: Path) -> list[str]:
    return [path.relative_to(directory).as_posix() for path in policy_files(directory)]
