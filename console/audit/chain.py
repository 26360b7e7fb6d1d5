"""Whether lines are the chain that the log wrote, and if not, which one is not. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from console.audit.record import NOTHING, Head, Record, parsed


class Place(NamedTuple):
    """A line, from 1 on; 0 where there is none."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


class Finding(NamedTuple):
    """Something that the log did not write."""

    place: Place
    what: str

    def __str__(self) -> str:
        return f"{self.place}: {self.what}"


class Noted(NamedTuple):
    """A head that was noted elsewhere, such as in `audit.head`. `is_newest`: nothing may follow."""

    where: str
    head: Head
    is_newest: bool = False


_NOWHERE: Final = Place("", 0)
_BEYOND: Final = (
    "what follows was not written by the log, or a process was killed while it wrote"
    " (then the next record repairs that)"
)


@dataclass(slots=True)
class Chain:
    """Told the lines of all files in order. `start` is the last record before them.

    `findings` are in the order of the lines; `records` were read and are sound by themselves.
    """

    start: Head = NOTHING
    noted: tuple[Noted, ...] = ()
    findings: list[Finding] = field(default_factory=list)
    records: int = 0
    last: Head = field(init=False)
    _at: Place = _NOWHERE
    _damaged: int = 0
    _seen: dict[int, tuple[Place, str]] = field(default_factory=dict)
    _wanted: frozenset[int] = field(init=False)

    def __post_init__(self) -> None:
        self.last = self.start
        self._wanted = frozenset(each.head.seq for each in self.noted)

    def take(self, place: Place, line: bytes) -> Record | None:
        """The next line; its record if that is sound by itself."""
        text = line.removesuffix(b"\n")
        record = parsed(text)
        if record is None:
            self._find(place, _damage(text))
            self._damaged += 1
            self._at = place
            return None
        if text == line:
            self._find(place, "is cut off: there is no newline at its end")
        self._link(place, record)
        self._damaged = 0
        return record

    def finish(self) -> None:
        """All lines are told: compare with the heads that were noted."""
        for noted in self.noted:
            self._compare(noted)

    def _link(self, place: Place, record: Record) -> None:
        self.records += 1
        last, seq = self.last, record.seq
        if seq <= last.seq:
            self._find(
                place, f"is record {seq} again, or out of its order: record {last.seq} is before it"
            )
            return
        if seq > last.seq + 1 + self._damaged:
            gone = _range(last.seq + 1, seq - 1 - self._damaged)
            self._find(place, f"follows record {last.seq}: {gone} removed or moved")
        elif not self._damaged and record.fields["previous_hash"] != last.hash:
            before = f"record {last.seq} ({self._at})" if self._at.line else f"record {last.seq}"
            self._find(
                place, f"does not continue {before}: one of the two was rewritten, its hash too"
            )
        self.last, self._at = record.head, place
        if seq in self._wanted:
            self._seen[seq] = (place, record.hash)

    def _compare(self, noted: Noted) -> None:
        head, last = noted.head, self.last
        at = self._at if self._at.line else Place(noted.where, 0)
        if head.seq > last.seq + self._damaged:
            gone = _range(last.seq + 1, head.seq)
            self._find(at, f"is the end, and {gone} cut off: {noted.where} has record {head.seq}")
        elif head.seq in self._seen and self._seen[head.seq][1] != head.hash:
            what = f"is another record {head.seq} than that of {noted.where}: it was rewritten"
            self._find(self._seen[head.seq][0], what)
        elif noted.is_newest and head.seq < last.seq:
            self._find(at, f"is record {last.seq}, but {noted.where} ends at {head.seq}: {_BEYOND}")

    def _find(self, place: Place, what: str) -> None:
        self.findings.append(Finding(place, what))


def _damage(text: bytes) -> str:
    try:
        seq = json.loads(text)["seq"]
        return f"was changed: the hash of record {seq:d} does not fit"
    except (ValueError, KeyError, TypeError, RecursionError):
        return "was changed: it is no record"


def _range(first: int, last: int) -> str:
    return f"record {first} was" if first == last else f"records {first} to {last} were"
