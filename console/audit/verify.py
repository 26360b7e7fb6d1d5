"""The files of a log, checked from the first record to the last."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from console.audit.chain import Chain, Finding, Noted, Place
from console.audit.errors import Unreadable
from console.audit.files import locked
from console.audit.head import head_path, read_head
from console.audit.log import REPAIRED
from console.audit.record import NOTHING, Head, parsed
from tollhouse.access_log import logs

Read = Callable[[Path, int], None]


class Part(NamedTuple):
    """What one file holds; `head` None: no record."""

    file: str
    first: int | None
    head: Head | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """`findings` empty: nothing was tampered with, as far as `checked_against` reaches: where the
    heads came from. `notes`: what the log says of its own repairs, and what could not be checked.
    """

    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    parts: tuple[Part, ...]
    records: int
    head: Head
    checked_against: tuple[str, ...]

    @property
    def is_good(self) -> bool:
        return not self.findings


class _File(NamedTuple):
    """`size`: how much of it is looked at, None for all."""

    path: Path
    first: int
    size: int | None


def verify(
    paths: Sequence[Path],
    noted: Sequence[Noted] = (),
    start: Head = NOTHING,
    read: Read = lambda _path, _bytes: None,
) -> Verdict:
    """Check the files of one log, in whatever order they are given.

    The log that is written to, if it is among them, is looked at as it was together with its
    `audit.head`: what is appended meanwhile does not matter. Raises Unreadable, LogError.
    """
    heads, files = list(noted), []
    for path in paths:
        size, head = _snapshot(path)
        heads += [head] if head else []
        files.append(_File(path, _first_seq(path), size))
    chain = Chain(start, tuple(heads))
    notes: list[str] = []
    parts: list[Part] = []
    for file in sorted(files, key=lambda each: each.first):
        parts.append(_take(chain, file, notes, read))
    chain.finish()
    if not heads:
        notes.append("no head to compare with: records cut off at the end would not be missed")
    return Verdict(
        tuple(chain.findings),
        tuple(notes),
        tuple(parts),
        chain.records,
        chain.last,
        tuple(each.where for each in heads),
    )


def _snapshot(path: Path) -> tuple[int | None, Noted | None]:
    """The size of the log that is written to, and its head; of another file, nothing."""
    beside = head_path(path)
    if path.suffix == ".gz" or not beside.exists():
        return None, None
    try:
        with locked(path, exclusive=False):
            head, size = read_head(beside), path.stat().st_size
    except (FileNotFoundError, PermissionError):
        # Copied somewhere else, or read by an auditor: the lock is for who appends.
        head, size = read_head(beside), path.stat().st_size
    except OSError as error:
        raise Unreadable(f"{path} cannot be locked to be read: {error.strerror}") from error
    return size, Noted(str(beside), head, is_newest=True) if head else None


def _first_seq(path: Path) -> int:
    """Where the file belongs; one without any record comes last."""
    for line in logs.lines(path):
        if record := parsed(line.text.removesuffix(b"\n")):
            return record.seq
    return 1 << 63


def _take(chain: Chain, file: _File, notes: list[str], read: Read) -> Part:
    first, head = None, None
    for line in _lines(file):
        read(file.path, line.read)
        place = Place(str(file.path), line.number)
        record = chain.take(place, line.text)
        if record is None:
            continue
        first, head = first or record.seq, record.head
        if record.fields.get("action") == REPAIRED:
            notes.append(f"{place}: the log was repaired: {record.fields.get('before')}")
    return Part(str(file.path), first, head)


def _lines(file: _File) -> Iterator[logs.Line]:
    for line in logs.lines(file.path):
        if file.size is not None and line.end > file.size:
            return
        yield line
