"""How long to wait before a delivery is tried again. Pure."""

from __future__ import annotations

from typing import Final

FIRST_SECONDS: Final = 5.0
LONGEST_SECONDS: Final = 600.0
LONGEST_ASKED_SECONDS: Final = 3600.0
"""No receiver can silence alerts for longer."""


def wait_seconds(failures: int, asked: float | None, chance: float) -> float:
    """After so many failures in a row (1 is the first): doubling from 5 s to 10 minutes, of which
    half is left to `chance` (0 to 1), so that replicas do not come together. Not before the
    receiver's Retry-After (`asked`, seconds) is over; that is taken up to an hour.
    """
    doubled = min(FIRST_SECONDS * 2.0 ** min(failures - 1, 32), LONGEST_SECONDS)
    own = doubled * (0.5 + chance / 2)
    return max(own, min(asked or 0.0, LONGEST_ASKED_SECONDS))
