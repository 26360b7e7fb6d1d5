"""The lines of a file from its end: what is asked for most is what was written last."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from console.audit.errors import Unreadable

BLOCK: Final = 1 << 20
_GZIP: Final = b"\x1f\x8b"


def is_packed(path: Path) -> bool:
    """Whether it is gzipped, whatever its name. Raises Unreadable."""
    try:
        with path.open("rb") as file:
            return file.read(2) == _GZIP
    except OSError as error:
        raise Unreadable(f"{path} cannot be read: {error.strerror}") from error


def blocks(path: Path, size: int = BLOCK) -> Iterator[bytes]:
    """The whole lines of a plain file with their newlines, many at a time, the file's last ones
    first. What comes after the last newline is not a line yet. Raises Unreadable."""
    try:
        with path.open("rb") as file:
            end, rest = file.seek(0, os.SEEK_END), b""
            is_last = True
            while end > 0:
                begin = max(0, end - size)
                file.seek(begin)
                text = file.read(end - begin) + rest
                if is_last and b"\n" in text:
                    text, is_last = text[: text.rindex(b"\n") + 1], False
                # What is in front of the first newline is the end of a line.
                cut = 0 if begin == 0 else text.find(b"\n") + 1
                if not is_last:
                    yield text[cut:]
                end, rest = begin, text[:cut]
    except OSError as error:
        raise Unreadable(f"{path} cannot be read: {error.strerror}") from error


def lines_of(block: bytes) -> list[bytes]:
    """The lines of a block, the last one first, without their newlines."""
    return block.split(b"\n")[-2::-1]
