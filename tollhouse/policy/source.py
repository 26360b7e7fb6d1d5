"""Where a policy comes from: a directory of files, watched. Others keep to the same protocol."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from watchfiles import awatch

from tollhouse.policy.compiled import Snapshot
from tollhouse.policy.compiler import load_snapshot
from tollhouse.policy.loader import policy_files

_POLL_SECONDS = 1.0
_DEBOUNCE_MS = 100  # an editor's save is several events: truncate, write, rename

Fingerprint = tuple[tuple[str, int, int, int, int], ...]


class PolicySource(Protocol):
    """What a `PolicyHolder` reads. Called from any thread."""

    def load(self) -> Snapshot:
        """The policy as it is now. Raises PolicyError."""
        ...

    def fingerprint(self) -> object:
        """Cheap; another one whenever `load` may give something else."""
        ...

    def ticks(self, stop: asyncio.Event) -> AsyncIterator[bool]:
        """At least one a second until `stop` is set; true when something surely changed."""
        ...


class PolicyDirectory:
    """A policy tree on disk."""

    def __init__(self, directory: Path, *, allow_demo_keys: bool = False) -> None:
        self._directory = directory
        self._allow_demo_keys = allow_demo_keys

    def load(self) -> Snapshot:
        """Raises PolicyError."""
        return load_snapshot(self._directory, allow_demo_keys=self._allow_demo_keys)

    def fingerprint(self) -> Fingerprint:
        """Name, change and modification time (ns), size and inode of every policy file.

        Symlinks are followed. The change time betrays a write that keeps the modification time.
        """
        try:
            return tuple(_stat(path) for path in policy_files(self._directory))
        except OSError:
            return ()

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
