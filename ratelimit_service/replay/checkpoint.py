"""How far each log was settled, so that the next run goes on from there.

Settling is idempotent: a checkpoint saves time, and losing it costs nothing else.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path


class Checkpoint:
    """Offsets by log, in the file `path`; None remembers nothing. Raises OSError.

    They hold for the slots as they were, told by when each was first used: one that was lost knows
    nothing of what was settled.
    """

    def __init__(self, path: Path | None, *, from_start: bool = False) -> None:
        self._path = path
        stored = {} if from_start else _load(path)
        self._births: dict[str, int] = stored.get("births", {})
        self._offsets: dict[str, int] = stored.get("offsets", {})

    @property
    def births(self) -> Mapping[str, int]:
        """When the slots of the settled lines were first used, epoch ms, by tag."""
        return self._births

    def forget(self) -> None:
        """Begin every log from its start."""
        self._births, self._offsets = {}, {}

    def offset(self, log: str) -> int:
        """Up to where a log is settled, in bytes of its text."""
        return self._offsets.get(log, 0)

    def reached(self, log: str, offset: int, births: Mapping[str, int]) -> None:
        """Everything before `offset` is settled, in slots that were first used then."""
        self._offsets[log] = offset
        self._births |= births
        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        new = self._path.with_name(f"{self._path.name}.{os.getpid()}.new")
        new.write_text(json.dumps({"births": self._births, "offsets": self._offsets}))
        new.replace(self._path)


def _load(path: Path | None) -> dict[str, dict[str, int]]:
    try:
        stored = json.loads(path.read_text()) if path else {}
        return {
            part: {str(name): int(number) for name, number in stored[part].items()}
            for part in ("births", "offsets")
        }
    except (FileNotFoundError, ValueError, TypeError, AttributeError, KeyError):
        return {}
