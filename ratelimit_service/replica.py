"""What one replica of the service keeps beside the ledger that all replicas share."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ratelimit_service.expectation import Expectation
from ratelimit_service.known import KnownSlots
from ratelimit_service.ledger.stand_in import StandIn
from ratelimit_service.parked import Parked, ParkedInMemory
from ratelimit_service.spool import SpoolFolder, StateError


@dataclass(frozen=True, slots=True)
class Replica:
    """`parked` is a folder of spools, or memory where nothing is kept on disk."""

    expectation: Expectation = field(default_factory=Expectation)
    stand_in: StandIn = field(default_factory=StandIn)
    known: KnownSlots = field(default_factory=KnownSlots)
    parked: Parked = field(default_factory=ParkedInMemory)

    def close(self) -> None:
        """Leave what waits on disk to the next start."""
        if isinstance(self.parked, SpoolFolder):
            self.parked.close()


def open_replica(state_dir: Path | None) -> Replica:
    """With what an earlier run left in `state_dir`. Raises StateError if it cannot be used."""
    if state_dir is None:
        return Replica()
    parked = SpoolFolder(state_dir)  # its lock is one for the whole folder
    file = state_dir / "known-slots.json"
    try:
        return Replica(known=KnownSlots(file), parked=parked)
    except (OSError, ValueError):
        raise StateError(
            f"{file} cannot be read: move it away, and what was lost is not noticed"
        ) from None
