"""Reservation ids: UUIDv7 (RFC 9562, section 5.7) in hex, so that they sort by time.

The first 12 digits are Unix milliseconds; the scripts read from them the day under which a
settled id is remembered.
"""

import secrets
import time

_VERSION_7 = 0x7 << 76
_VARIANT = 0b10 << 62


def new_reservation_id(now_ms: int | None = None) -> str:
    """A fresh id of 32 hex digits, at `now_ms` Unix milliseconds (default: this host's clock)."""
    millis = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    random_a = secrets.randbits(12) << 64
    random_b = secrets.randbits(62)
    return f"{millis << 80 | _VERSION_7 | random_a | _VARIANT | random_b:032x}"


def id_millis(reservation_id: str) -> int:
    """The Unix milliseconds that an id was made at."""
    return int(reservation_id[:12], 16)
