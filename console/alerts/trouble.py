"""Says once that something fails, and once that it no longer does."""

from __future__ import annotations

import logging


class Trouble:
    """One line for each reason, and one when it is over, however often it is seen."""

    def __init__(self, log: logging.Logger, begins: str, ends: str) -> None:
        self._log = log
        self._begins = begins
        self._ends = ends
        self._reasons: set[str] = set()

    def seen(self, reason: str, *, exc_info: bool = False) -> None:
        """It fails, for this reason."""
        if reason not in self._reasons:
            self._reasons.add(reason)
            fields = {"reason": reason}
            self._log.warning(self._begins, extra={"fields": fields}, exc_info=exc_info)

    def over(self) -> None:
        """It went well."""
        if self._reasons:
            self._log.info(self._ends)
            self._reasons.clear()
