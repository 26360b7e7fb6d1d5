"""Access-log files as lines: plain or gzipped, rotated, cut at their end.

A log is known by its first line, not by its name: rotation renames it and gzip rewrites it.
"""

from __future__ import annotations

import contextlib
import glob
import gzip
import hashlib
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, NamedTuple, cast

_GZIP = b"\x1f\x8b"
_LONGEST_LINE = 1 << 20

Read = Callable[[Path, int], None]
"""Told how many bytes of a file have been read."""


class LogError(Exception):
    """A log that cannot be read; the message names it."""


class Line(NamedTuple):
    """One line. `end` is the offset after it in the log as text, `read` how much of the file has
    been read, both in bytes. `whole`: it ends as a line does."""

    number: int
    text: bytes
    end: int
    read: int
    whole: bool


def expand(names: list[str]) -> list[Path]:
    """The files that names and patterns stand for, in order, each once. Raises LogError."""
    paths: list[Path] = []
    for name in names:
        found = sorted(map(Path, glob.glob(name))) if glob.has_magic(name) else [Path(name)]  # noqa: PTH207 - a pattern may be absolute
        if not found:
            raise LogError(f"no file matches {name}")
        paths += [path for path in found if path not in paths]
    for path in paths:
        if not path.is_file():
            raise LogError(f"{path} is not a file that can be read")
    return paths


def fingerprint(path: Path) -> str | None:
    """What the log is known by, None while it has no whole line. Raises LogError."""
    with _reading(path) as (text, _):
        first = text.readline(_LONGEST_LINE)
    return hashlib.sha256(first).hexdigest() if first.endswith(b"\n") else None


def lines(path: Path, start: int = 0) -> Iterator[Line]:
    """The lines from offset `start` on, which is the end of one. Raises LogError."""
    with _reading(path) as (text, raw):
        number, end = 0, 0
        for one in text:
            number, end = number + 1, end + len(one)
            if end > start:
                yield Line(number, one, end, raw.tell(), one.endswith(b"\n"))


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """The text of a log, and the file under it."""
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == _GZIP
            raw.seek(0)
            if not packed:
                yield raw, raw
                return
            with gzip.GzipFile(fileobj=raw) as text:
                yield cast(IO[bytes], text), raw
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise LogError(f"{path} is a damaged gzip file: what comes before is read") from error
    except OSError as error:
        raise LogError(f"{path} cannot be read: {error.strerror}") from error
