"""The files of the log, and how they are made durable."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

MODE: Final = 0o640
"""Of all of them: who writes, and a group of auditors that may read."""


def torn_path(log: Path) -> Path:
    """Where the torn ends of that log's lines are put aside."""
    return log.with_suffix(".torn")


def lock_path(log: Path) -> Path:
    """What is locked to append to that log."""
    return log.with_suffix(".lock")


def open_file(path: Path, flags: int) -> int:
    """A descriptor; a file that is not there is made, whatever the umask. Raises OSError."""
    try:
        return os.open(path, flags)
    except FileNotFoundError:
        descriptor = os.open(path, flags | os.O_CREAT, MODE)
        os.fchmod(descriptor, MODE)
        sync_directory(path.parent)
        return descriptor


@contextmanager
def opened(path: Path) -> Iterator[int]:
    """A descriptor to read and to append by. Raises OSError."""
    descriptor = open_file(path, os.O_RDWR | os.O_APPEND)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def write_all(descriptor: int, data: bytes) -> None:
    """Durable when it returns. Raises OSError, also when only a part could be written."""
    while data:
        data = data[os.write(descriptor, data) :]
    os.fsync(descriptor)


def sync_directory(directory: Path) -> None:
    """Until then a power failure undoes what was renamed or created in it. Raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def locked(log: Path, *, exclusive: bool) -> Iterator[None]:
    """Hold the log's lock: alone to append; with other readers to see log and head agree.

    Raises OSError.
    """
    path = lock_path(log)
    descriptor = open_file(path, os.O_RDWR) if exclusive else os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)
