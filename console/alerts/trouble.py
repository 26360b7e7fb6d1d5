"""Says once that something fails, and once that it no longer does."""

from __future__ import annotations

import logging


class Trouble:
    """One line for each kind of reason, and one when it is over, however often it is seen."""

    def __init__(self, log: logging.Logger, begins: str, ends: str) -> None:
        self._log = log
        self._begins = begins
        self._ends = ends
        self._told: set[str] = set()

    def seen(self, reason: str, *, kind: str = "", exc_info: bool = False) -> None:
        """It fails, for this reason; those of one `kind` are told once, whatever they say."""
        if (kind or reason) not in self._told:
            self._told.add(kind or reason)
            fields = {"reason": reason}
            self._log.warning(self._begins, extra={"fields": fields}, exc_info=exc_info)

    def over(self) -> None:
        """It went well."""
        if self._told:
            self._log.info(self._ends)
            self._told.clear()
