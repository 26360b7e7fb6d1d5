"""The end of a log, read without reading the log."""

from __future__ import annotations

import os
from typing import Final, NamedTuple

from console.audit.record import Head, parsed

_BLOCK: Final = 1 << 16


class End(NamedTuple):
    """`last`: the last whole line's record, None where that is no record, or there is no line.
    `torn`: what comes after the last newline. `size`: of the file, in bytes."""

    last: Head | None
    torn: bytes
    size: int


def read_end(descriptor: int) -> End:
    """Raises OSError."""
    size = os.fstat(descriptor).st_size
    tail, start = b"", size
    # Two newlines: one before the last whole line, one at its end.
    while start > 0 and tail.count(b"\n") < 2:
        begin = max(0, start - max(_BLOCK, len(tail)))
        tail, start = os.pread(descriptor, start - begin, begin) + tail, begin
    *lines, torn = tail.split(b"\n")
    record = parsed(lines[-1]) if lines else None
    return End(record.head if record else None, torn, size)
