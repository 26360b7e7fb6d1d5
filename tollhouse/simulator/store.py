"""What one provider keeps for its callers: responses, files and batches, in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeVar

_MAX_KEPT = 10_000

_Kept = TypeVar("_Kept")


class Shelf(dict[str, _Kept]):
    """Things by id; the oldest make room."""

    def keep(self, name: str, thing: _Kept) -> None:
        """Put one there."""
        self[name] = thing
        while len(self) > _MAX_KEPT:
            del self[next(iter(self))]


@dataclass(frozen=True, slots=True)
class Upload:
    """A file: its object as the API shows it, and its bytes."""

    shown: dict[str, Any]
    content: bytes


@dataclass(frozen=True, slots=True)
class Store:
    """Shelves of one provider."""

    responses: Shelf[dict[str, Any]] = field(default_factory=Shelf)
    files: Shelf[Upload] = field(default_factory=Shelf)
    batches: Shelf[dict[str, Any]] = field(default_factory=Shelf)
