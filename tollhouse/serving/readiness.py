"""Whether a service can do its work now, told to gRPC health and to HTTP alike."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Readiness:
    """Ready while no part reports a problem. Safe to read from the metrics server's thread."""

    def __init__(self, on_change: Callable[[bool], None] = lambda ready: None) -> None:
        self._problems: dict[str, str] = {}
        self._lock = threading.Lock()
        self.on_change = on_change

    def problem(self, part: str, reason: str) -> None:
        """`part` cannot work; `reason` is shown at /readyz and must hold no secret."""
        self._update(part, reason)

    def fine(self, part: str) -> None:
        self._update(part, None)

    def _update(self, part: str, reason: str | None) -> None:
        with self._lock:
            before = not self._problems
            if reason is None:
                self._problems.pop(part, None)
            else:
                self._problems[part] = reason
            after = not self._problems
        if before != after:
            self.on_change(after)

    @property
    def problems(self) -> dict[str, str]:
        with self._lock:
            return dict(self._problems)

    @property
    def ready(self) -> bool:
        return not self.problems
