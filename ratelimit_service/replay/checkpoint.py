"""How far each log was settled, so that the next run goes on from there.

Settling is idempotent: a checkpoint saves time, and losing it costs nothing else.
"""

from __future__ import annotations

import json
import os
from pathlib import Path


class Checkpoint:
    """Offsets by ledger and log, in the file `path`; None remembers nothing. Raises OSError."""

    def __init__(self, path: Path | None, *, from_start: bool = False) -> None:
        self._path = path
        self._offsets = {} if from_start else _load(path)

    def offset(self, ledger: str, log: str) -> int:
        """Up to where a log is settled in a ledger, in bytes of its text.

        `ledger` is the id of its identity: one that was lost knows nothing of what was settled.
        """
        return self._offsets.get(f"{ledger}:{log}", 0)

    def reached(self, ledger: str, log: str, offset: int) -> None:
        """Everything before `offset` is settled."""
        self._offsets[f"{ledger}:{log}"] = offset
        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        new = self._path.with_name(f"{self._path.name}.{os.getpid()}.new")
        new.write_text(json.dumps(self._offsets))
        new.replace(self._path)


def _load(path: Path | None) -> dict[str, int]:
    try:
        stored = json.loads(path.read_text()) if path else {}
        return {str(log): int(offset) for log, offset in stored.items()}
    except (FileNotFoundError, ValueError, AttributeError):
        return {}
