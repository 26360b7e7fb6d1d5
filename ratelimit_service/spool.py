"""Entries on disk while Redis does not take them: they outlive the service, and need no memory.

The file has lines of the access log, so `tollhouse ledger reconcile` can read it too.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from ratelimit_service.replay.line import MalformedLine, entry_from_line, line_from_entry
from ratelimit_service.settlement import Entry

log = logging.getLogger("ratelimit_service.spool")

_MOST_BYTES = 1 << 30  # some two million entries


class StateError(Exception):
    """A file of the state folder cannot be used; the message says why."""


class Spool:
    """First in, first out, in one file. `waiting` is the number of lines that are not dropped.

    What was read is forgotten on disk when all was read; until then a restart reads it again, which
    settles nothing twice. Raises StateError if another service uses the file, or the disk refuses.
    """

    def __init__(self, path: Path, most_bytes: int = _MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._read_to = self._next = self._given = 0
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StateError(f"another service uses {path}: give each its own folder") from None
        except OSError as error:
            raise StateError(f"{path} cannot be used: {error.strerror}") from None
        self._size = os.fstat(self._file).st_size
        self._end_cut_line()
        self.waiting = sum(1 for _ in self._lines(0))

    def put(self, entries: Iterable[Entry]) -> int:
        """Append; returns how many found no room."""
        refused = 0
        for entry in entries:
            if self._write(line_from_entry(entry)):
                self.waiting += 1
            else:
                refused += 1
        return refused

    def first(self, most: int) -> list[Entry]:
        """The entries that wait longest; the same again until `drop`. A line that cannot be read is
        told and passed over."""
        entries: list[Entry] = []
        self._next, self._given = self._read_to, 0
        for line in self._lines(self._read_to):
            self._next += len(line)
            self._given += 1
            try:
                entry = entry_from_line(line)
            except MalformedLine as error:
                log.error("a line of the spool cannot be settled: %s", error)
                continue
            if entry:
                entries.append(entry)
            if len(entries) == most:
                break
        return entries

    def drop(self) -> None:
        """Forget what `first` gave last."""
        self._read_to = self._next
        self.waiting -= self._given
        if self._read_to == self._size:
            os.ftruncate(self._file, 0)
            self._read_to = self._size = 0

    def close(self) -> None:
        """Leave what waits to the next start."""
        os.fsync(self._file)
        os.close(self._file)

    def _write(self, line: bytes) -> bool:
        if self._size + len(line) > self._most_bytes:
            return False
        try:
            whole = os.write(self._file, line) == len(line)
        except OSError as error:
            log.error("an entry cannot be written to the spool: %s", error.strerror)
            whole = False
        if whole:
            self._size += len(line)
        else:  # the disk is full: no half of a line may stay
            os.ftruncate(self._file, self._size)
        return whole

    def _end_cut_line(self) -> None:
        # The service was killed while it wrote.
        if self._size and os.pread(self._file, 1, self._size - 1) != b"\n":
            self._size += os.write(self._file, b"\n")

    def _lines(self, start: int) -> Iterator[bytes]:
        with open(os.dup(self._file), "rb") as reader:  # noqa: PTH123 - a descriptor
            reader.seek(start)
            yield from reader
