"""Which ledger this service knows: a store that comes back empty must not pass for it.

Each slot notes when it was first used. If that changes, all that the slot knew is gone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from ratelimit_service.ledger.types import Slot


class KnownSlots:
    """One per service. With a `file` it remembers over restarts; `save` writes what is new.

    Births are epoch milliseconds by the store's clock.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._births: dict[str, int] = {}
        self._lost: dict[str, int] = {}
        self._saved = True
        if file and file.exists():
            self._births = {str(tag): int(ms) for tag, ms in json.loads(file.read_text()).items()}

    @property
    def lost(self) -> list[str]:
        """The slots that came back empty, as "team:marketing"."""
        return sorted(self._lost)

    def check(self, births: Mapping[Slot, int]) -> list[str]:
        """Those of these slots that came back empty; others are known from now on."""
        lost = []
        for slot, born in births.items():
            known = self._births.get(slot.tag)
            if known is None:
                self._births[slot.tag] = born
                self._saved = False
            elif known == born:
                if self._lost:
                    self._lost.pop(slot.tag, None)  # what was lost is restored
            else:
                self._lost[slot.tag] = born
                lost.append(slot.tag)
        return lost

    def accept(self, until_ms: int) -> None:
        """Take slots that were born until then as they are."""
        for tag in [tag for tag, born in self._lost.items() if born <= until_ms]:
            self._births[tag] = self._lost.pop(tag)
            self._saved = False

    def save(self) -> None:
        """Raises OSError."""
        if self._saved or self._file is None:
            return
        new = self._file.with_suffix(".new")
        new.write_text(json.dumps(self._births))
        new.replace(self._file)
        self._saved = True
