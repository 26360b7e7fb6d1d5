"""Settles from access-log files what the stream to ratelimit_service missed.

Every line is settled again: the ledger knows the ids that it has settled, so whatever came before
changes nothing, and a run may be stopped and begun again at any place.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from ratelimit_service.ledger.errors import LedgerUnavailable
from ratelimit_service.ledger.ledger import Ledger
from ratelimit_service.ledger.types import Settlement, SettleOutcome
from ratelimit_service.replay.checkpoint import Checkpoint
from ratelimit_service.replay.line import MalformedLine, entry_from_line
from ratelimit_service.settlement import Charge, charge, settlement
from tollhouse.access_log import logs
from tollhouse.access_log.logs import Read
from tollhouse.policy.compiled import Org

_BATCH = 256
_RETRY_SECONDS = 0.5
_MOST_SHOWN = 20


@dataclass(slots=True)
class Summary:
    """What a run did. `charged` is the nano-dollars of lines that nothing had charged yet.

    `problems` are the first lines that could not be settled, as file:line: reason.
    """

    lines: int = 0
    outcomes: Counter[SettleOutcome] = field(default_factory=Counter)
    charged: int = 0
    malformed: int = 0
    cut: int = 0
    skipped_bytes: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether every line could be settled."""
        return not self.malformed and not self.outcomes[SettleOutcome.TOO_OLD]

    def malformed_line(self, path: Path, number: int, reason: str) -> None:
        """Note a line that cannot be settled."""
        self.malformed += 1
        if len(self.problems) < _MOST_SHOWN:
            self.problems.append(f"{path}:{number}: {reason}")


class Reconcile:
    """One run. `patience` is how many seconds the store may stay away. What `take` says it takes is
    not settled."""

    def __init__(  # noqa: PLR0913 - what a run is told, once
        self,
        ledger: Ledger,
        org: Org,
        checkpoint: Checkpoint,
        read: Read,
        patience: float,
        *,
        take: Callable[[Settlement], bool] = lambda settlement: False,
    ) -> None:
        self._ledger = ledger
        self._org = org
        self._checkpoint = checkpoint
        self._read = read
        self._patience = patience
        self._take = take
        self.summary = Summary()

    async def run(self, paths: list[Path]) -> Summary:
        """Raises LogError, and LedgerUnavailable when the store stays away."""
        ledger = (await self._ledger.identity()).id
        for path in paths:
            log = logs.fingerprint(path)
            start = self._checkpoint.offset(ledger, log) if log else 0
            self.summary.skipped_bytes += start
            lines = logs.lines(path, start)
            while batch := list(islice(lines, _BATCH)):
                await self._settle(list(self._due(path, batch)))
                self._read(path, batch[-1].read)
                whole = [line.end for line in batch if line.whole]
                if log and whole:
                    self._checkpoint.reached(ledger, log, whole[-1])
        return self.summary

    def _due(self, path: Path, batch: list[logs.Line]) -> Iterator[tuple[Charge, Settlement]]:
        for line in batch:
            if not line.whole:
                self.summary.cut += 1
                continue
            self.summary.lines += 1
            try:
                if entry := entry_from_line(line.text):
                    charged = charge(entry)
                    wanted = settlement(entry, charged, self._org)
                    if not self._take(wanted):
                        yield charged, wanted
            except (MalformedLine, ValueError) as error:
                self.summary.malformed_line(path, line.number, str(error))

    async def _settle(self, due: list[tuple[Charge, Settlement]]) -> None:
        outcomes = await self._patiently([wanted for _, wanted in due])
        for (charged, _), outcome in zip(due, outcomes, strict=True):
            self.summary.outcomes[outcome] += 1
            if outcome in (SettleOutcome.SETTLED, SettleOutcome.UNKNOWN):
                self.summary.charged += charged.cost

    async def _patiently(self, wanted: list[Settlement]) -> list[SettleOutcome]:
        waited = 0.0
        while True:
            try:
                return await self._ledger.settle_many(wanted)
            except LedgerUnavailable:
                if waited >= self._patience:
                    raise
                waited += _RETRY_SECONDS
                await asyncio.sleep(_RETRY_SECONDS)
