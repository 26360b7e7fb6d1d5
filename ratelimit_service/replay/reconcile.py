"""Settles from access-log files what the stream to ratelimit_service missed.

Every line is settled again: the ledger knows the ids that it has settled, so whatever came before
changes nothing, and a run may be stopped and begun again at any place.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from ratelimit_service.ledger.errors import LedgerUnavailable
from ratelimit_service.ledger.ledger import Ledger
from ratelimit_service.ledger.types import Settlement, SettleOutcome, Slot
from ratelimit_service.ledger.wire import telling
from ratelimit_service.replay.checkpoint import Checkpoint
from ratelimit_service.replay.line import MalformedLine, entry_from_line
from ratelimit_service.replay.seen import SeenSlots
from ratelimit_service.settlement import Charge, charge, settlement
from tollhouse.access_log import logs
from tollhouse.access_log.logs import Read
from tollhouse.policy.compiled import Org

_BATCH = 256
_RETRY_SECONDS = 0.5
_MOST_SHOWN = 20

_T = TypeVar("_T")

Told = Callable[[Settlement, tuple[SettleOutcome, ...]], None]
"""Told what was done with a line, in each of its slots."""


@dataclass(slots=True)
class Summary:
    """What a run did. `charged` is the nano-dollars of lines that nothing had charged yet.

    `problems` are the first lines that could not be settled, as file:line: reason; `damaged` is
    what is wrong with logs of which not all could be read; `lost` are the slots that came back
    empty since the last run, as "team:marketing".
    """

    lines: int = 0
    outcomes: Counter[SettleOutcome] = field(default_factory=Counter)
    charged: int = 0
    malformed: int = 0
    cut: int = 0
    skipped_bytes: int = 0
    problems: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether every line could be read and settled."""
        too_old = self.outcomes[SettleOutcome.TOO_OLD]
        return not (self.malformed or self.damaged or too_old)

    def malformed_line(self, path: Path, number: int, reason: str) -> None:
        """Note a line that cannot be settled."""
        self.malformed += 1
        if len(self.problems) < _MOST_SHOWN:
            self.problems.append(f"{path}:{number}: {reason}")


class Reconcile:
    """One run. `patience` is how many seconds the store may stay away. Lines that are not `wanted`
    are left; `told` hears of the others."""

    def __init__(  # noqa: PLR0913 - what a run is told, once
        self,
        ledger: Ledger,
        org: Org,
        checkpoint: Checkpoint,
        read: Read,
        patience: float,
        *,
        wanted: Callable[[Settlement], bool] = lambda settlement: True,
        told: Told = lambda settlement, done: None,
    ) -> None:
        self._ledger = ledger
        self._org = org
        self._checkpoint = checkpoint
        self._read = read
        self._patience = patience
        self._wanted = wanted
        self._told = told
        self.slots = SeenSlots(ledger)
        self.summary = Summary()

    async def run(self, paths: list[Path]) -> Summary:
        """Raises LedgerUnavailable when the store stays away. A log that cannot be read, or not to
        its end, holds up no other: it is in the summary."""
        await self._forget_what_was_lost()
        for path in paths:
            try:
                await self._read_log(path)
            except logs.LogError as error:
                self.summary.damaged.append(str(error))
        return self.summary

    async def _forget_what_was_lost(self) -> None:
        """A slot that came back empty since the last run needs the lines that it settled, too."""
        known = dict(self._checkpoint.births)
        slots = list(map(Slot.from_tag, known))
        await self._patiently(lambda: self.slots.look(slots))
        now = self.slots.births
        self.summary.lost = sorted(tag for tag, born_ms in known.items() if now[tag] != born_ms)
        if self.summary.lost:
            self._checkpoint.forget()

    async def _read_log(self, path: Path) -> None:
        log = logs.fingerprint(path)
        start = self._checkpoint.offset(log) if log else 0
        self.summary.skipped_bytes += start
        for batch in _batches(logs.lines(path, start)):
            await self._settle(list(self._due(path, batch)))
            self._read(path, batch[-1].read)
            whole = [line.end for line in batch if line.whole]
            if log and whole:
                self._checkpoint.reached(log, whole[-1], self.slots.births)

    def _due(self, path: Path, batch: list[logs.Line]) -> Iterator[tuple[Charge, Settlement]]:
        for line in batch:
            if not line.whole:
                self.summary.cut += 1
                continue
            self.summary.lines += 1
            try:
                if entry := entry_from_line(line.text):
                    charged = charge(entry)
                    due = settlement(entry, charged, self._org)
                    if self._wanted(due):
                        yield charged, due
            except (MalformedLine, ValueError) as error:
                self.summary.malformed_line(path, line.number, str(error))

    async def _settle(self, due: list[tuple[Charge, Settlement]]) -> None:
        settlements = [wanted for _, wanted in due]
        await self._patiently(lambda: self.slots.prepare(settlements))
        done = await self._patiently(lambda: self._ledger.settle_in_slots(settlements))
        for (charged, wanted), in_slots in zip(due, done, strict=True):
            self._told(wanted, in_slots)
            outcome = telling(in_slots)
            self.summary.outcomes[outcome] += 1
            if outcome in (SettleOutcome.SETTLED, SettleOutcome.UNKNOWN):
                self.summary.charged += charged.cost

    async def _patiently(self, ask: Callable[[], Awaitable[_T]]) -> _T:
        waited = 0.0
        while True:
            try:
                return await ask()
            except LedgerUnavailable:
                if waited >= self._patience:
                    raise
                waited += _RETRY_SECONDS
                await asyncio.sleep(_RETRY_SECONDS)


def _batches(lines: Iterable[logs.Line]) -> Iterator[list[logs.Line]]:
    """What was read before an error comes before it. Raises LogError."""
    batch: list[logs.Line] = []
    try:
        for line in lines:
            batch.append(line)
            if len(batch) == _BATCH:
                yield batch
                batch = []
    except logs.LogError:
        if batch:
            yield batch
        raise
    if batch:
        yield batch
