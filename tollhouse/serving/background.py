"""Keeps the loading of a large policy out of the way of the calls that are answered meanwhile.

Both work in one interpreter, so whatever holds it keeps every call waiting. Measured with 100,000
keys by `make bench-policy`; docs/performance.md has the figures.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import AsyncIterator

from tollhouse.policy.compiled import Snapshot
from tollhouse.policy.source import PolicySource

# Python's own is 5 ms: each time a call waits for its socket, a loading thread would keep it that
# much longer.
_SWITCH_SECONDS = 0.0005


class InBackground:
    """A policy source whose loads keep no call waiting."""

    def __init__(self, source: PolicySource) -> None:
        self._source = source
        sys.setswitchinterval(_SWITCH_SECONDS)

    def load(self) -> Snapshot:
        """Raises PolicyError.

        A scan for reference cycles stops every thread, for a second and more where it meets a
        million objects. A policy has no cycles: while one is made nothing is scanned, and what
        there is afterwards is left out of all later scans. Objects are freed as ever when the last
        reference to them goes.
        """
        gc.collect()  # of what is not left out already, which is little
        gc.disable()
        try:
            return self._source.load()
        finally:
            gc.freeze()
            gc.enable()

    def fingerprint(self) -> object:
        """As the source's."""
        return self._source.fingerprint()

    def ticks(self, stop: asyncio.Event) -> AsyncIterator[bool]:
        """As the source's."""
        return self._source.ticks(stop)
