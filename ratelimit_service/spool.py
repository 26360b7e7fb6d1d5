"""What Redis does not take, on disk: it outlives the service, and needs no memory.

Each file has lines of the access log, so `tollhouse ledger reconcile` can read it too; what is to
be given back has lines of its own, which that passes over.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from ratelimit_service.parked import Ended, queue_of
from ratelimit_service.replay.line import (
    MalformedLine,
    entry_from_line,
    line_from_entry,
    line_from_withdrawal,
    withdrawal_from_line,
)
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
        self.most_bytes = most_bytes
        self._read_to = self._next = self._given = 0
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StateError(f"another service uses {path}: give each its own folder") from None
        except OSError as error:
            raise StateError(f"{path} cannot be used: {error.strerror}") from None
        self.size = os.fstat(self._file).st_size
        self._end_cut_line()
        self.waiting = sum(1 for _ in self._lines(0))

    def put(self, ended: Iterable[Ended]) -> int:
        """Append; returns how many found no room."""
        refused = 0
        for each in ended:
            if self._write(_line(each)):
                self.waiting += 1
            else:
                refused += 1
        return refused

    def first(self, most: int) -> list[Ended]:
        """Those that wait longest; the same again until `drop`. A line that cannot be read is told
        and passed over."""
        found: list[Ended] = []
        self._next, self._given = self._read_to, 0
        for line in self._lines(self._read_to):
            self._next += len(line)
            self._given += 1
            if each := _read(line):
                found.append(each)
            if len(found) == most:
                break
        return found

    def drop(self) -> None:
        """Forget what `first` gave last."""
        self._read_to = self._next
        self.waiting -= self._given
        if self._read_to == self.size:
            os.ftruncate(self._file, 0)
            self._read_to = self.size = 0

    def close(self) -> None:
        """Leave what waits to the next start."""
        os.fsync(self._file)
        os.close(self._file)

    def _write(self, line: bytes) -> bool:
        if self.size + len(line) > self.most_bytes:
            return False
        try:
            whole = os.write(self._file, line) == len(line)
        except OSError as error:
            log.error("an entry cannot be written to the spool: %s", error.strerror)
            whole = False
        if whole:
            self.size += len(line)
        else:  # the disk is full: no half of a line may stay
            os.ftruncate(self._file, self.size)
        return whole

    def _end_cut_line(self) -> None:
        # The service was killed while it wrote.
        if self.size and os.pread(self._file, 1, self.size - 1) != b"\n":
            self.size += os.write(self._file, b"\n")

    def _lines(self, start: int) -> Iterator[bytes]:
        with open(os.dup(self._file), "rb") as reader:  # noqa: PTH123 - a descriptor
            reader.seek(start)
            yield from reader


def _line(ended: Ended) -> bytes:
    return line_from_entry(ended) if isinstance(ended, Entry) else line_from_withdrawal(ended)


def _read(line: bytes) -> Ended | None:
    try:
        return withdrawal_from_line(line) or entry_from_line(line)
    except MalformedLine as error:
        log.error("a line of the spool cannot be settled: %s", error)
        return None


class SpoolFolder:
    """A spool for each queue, in one folder; together they take `most_bytes`.

    Raises StateError if another service uses the folder, or the disk refuses.
    """

    on_disk = True

    def __init__(self, folder: Path, most_bytes: int = _MOST_BYTES) -> None:
        self._folder = folder
        self._most_bytes = most_bytes
        self._lock = Spool(folder / "lock")
        self._spools = {path.stem: Spool(path) for path in sorted(folder.glob("waiting*.jsonl"))}

    @property
    def waiting(self) -> int:
        """How many there are in all."""
        return sum(spool.waiting for spool in self._spools.values())

    def put(self, ended: Iterable[Ended]) -> int:
        """Append; returns how many found no room."""
        by_queue: defaultdict[str, list[Ended]] = defaultdict(list)
        for each in ended:
            by_queue[queue_of(each)].append(each)
        return sum(self._put(queue, each) for queue, each in by_queue.items())

    def queues(self) -> list[str]:
        """Those in which something waits."""
        return [queue for queue, spool in self._spools.items() if spool.waiting]

    def first(self, queue: str, most: int) -> list[Ended]:
        """Those that wait longest; the same again until `drop`."""
        return self._spools[queue].first(most)

    def drop(self, queue: str) -> None:
        """Forget what `first` gave last of this queue."""
        self._spools[queue].drop()
        if not self._spools[queue].waiting:
            self._spools.pop(queue).close()
            self._path(queue).unlink()

    def close(self) -> None:
        """Leave what waits to the next start."""
        for spool in (*self._spools.values(), self._lock):
            spool.close()

    def _put(self, queue: str, ended: list[Ended]) -> int:
        if queue not in self._spools:
            self._spools[queue] = Spool(self._path(queue))
        spool = self._spools[queue]
        taken = sum(each.size for each in self._spools.values())
        spool.most_bytes = self._most_bytes - taken + spool.size
        return spool.put(ended)

    def _path(self, queue: str) -> Path:
        return self._folder / f"{queue}.jsonl"
