"""The files of the log, and how they are made durable."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

MODE: Final = 0o640
"""Of all of them: who writes, and a group of auditors that may read."""

LOCK_SECONDS: Final = 5.0
_LOCK_MODE: Final = 0o600  # whoever can read a file can hold its lock
_LOOK_SECONDS: Final = 0.01


def torn_path(log: Path) -> Path:
    """Where the torn ends of that log's lines are put aside."""
    return log.with_suffix(".torn")


def lock_path(log: Path) -> Path:
    """What is locked to append to that log."""
    return log.with_suffix(".lock")


def open_file(path: Path, flags: int, mode: int = MODE) -> int:
    """A descriptor; a file that is not there is made, whatever the umask. Raises OSError."""
    try:
        return os.open(path, flags)
    except FileNotFoundError:
        descriptor = os.open(path, flags | os.O_CREAT, mode)
        os.fchmod(descriptor, mode)
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


def _take(descriptor: int, how: int) -> None:
    """Not for ever: whoever can read the file can hold it. Raises TimeoutError."""
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, how | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise TimeoutError(errno.ETIMEDOUT, "somebody holds its lock") from None
            time.sleep(_LOOK_SECONDS)


@contextmanager
def locked(log: Path, *, exclusive: bool) -> Iterator[None]:
    """Hold the log's lock: alone to append; with other readers to see log and head agree.

    Raises OSError.
    """
    path = lock_path(log)
    flags = os.O_RDWR if exclusive else os.O_RDONLY
    descriptor = open_file(path, flags, _LOCK_MODE) if exclusive else os.open(path, flags)
    try:
        _take(descriptor, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)
