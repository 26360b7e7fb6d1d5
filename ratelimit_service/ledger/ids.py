"""Reservation ids: UUIDv7 (RFC 9562, section 5.7) in hex, so that they sort by time.

The first 12 digits are Unix milliseconds, from which the scripts read the day under which a settled
id is remembered. Where others have random bits, one process counts up (section 6.2, method 2): its
ids of half a minute are neighbours, and are remembered together (scripts/endings.lua).

    01a2245641a3  7     bc8     8…b, 7 digits   e15e25f0
    milliseconds  UUIDv7 random of the process   counter

So an id can be guessed. It is no secret and authorises nothing: clients neither see it nor send it.
"""

import os
import secrets
import time
from itertools import count

_VERSION_7 = 0x7 << 76
_VARIANT = 0b10 << 62
_COUNTED = 0xFFFF_FFFF


class _Tail:
    """The 74 bits after the milliseconds: 42 that are random, 32 that count up from anywhere. When
    these have all been used the milliseconds are others."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Anew: what a process was forked from goes on with the old ones."""
        self._random = secrets.randbits(12) << 64 | secrets.randbits(30) << 32
        self._counter = count(secrets.randbits(32))

    def __next__(self) -> int:
        return self._random | next(self._counter) & _COUNTED


_tail = _Tail()
os.register_at_fork(after_in_child=_tail.begin)


def new_reservation_id(now_ms: int | None = None) -> str:
    """A fresh id of 32 hex digits, at `now_ms` Unix milliseconds (default: this host's clock)."""
    millis = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    return f"{millis << 80 | _VERSION_7 | _VARIANT | next(_tail):032x}"


def id_millis(reservation_id: str) -> int:
    """The Unix milliseconds that an id was made at."""
    return int(reservation_id[:12], 16)
