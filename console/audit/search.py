"""What pages and the management API ask of the logs: the newest lines, found from the files' ends.

Reports over all of them are in `console.audit.reports`.
"""

from __future__ import annotations

import gzip
import heapq
import json
import re
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import Path
from typing import Any, Final

from console.audit.backwards import BLOCK, blocks, is_packed, lines_of
from console.audit.errors import Unreadable
from console.audit.filters import ActionFilters, CallFilters, Span, written
from console.audit.record import Record, parsed
from tollhouse.access_log import logs
from tollhouse.decisions import ALLOWED

# A quote inside a text is escaped, so this is no text. Nearly all lines are of calls that were
# allowed: to parse them takes ten times as long.
_REFUSED: Final = re.compile(rf'"decision"\s*:\s*"(?!{ALLOWED}")'.encode())
# Envoy's workers write to one buffer, so lines are hardly out of the order in which calls ended.
_SLACK: Final = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class ErrorLine:
    """A call that was not answered, as the access log has it. `code` is its decision, `reason` what
    a service said, `status` that of HTTP; None where the log says nothing."""

    time: str
    code: str
    status: int | None
    reason: str | None
    team: str | None
    project: str | None
    key: str | None
    model: str | None
    env: str | None
    provider: str | None
    path: str | None
    request_id: str | None
    client_address: str | None

    @property
    def place(self) -> tuple[str, str]:
        """Where it is among others, by time."""
        return self.time, self.request_id or ""


def recent_errors(  # noqa: PLR0913 - one filter each
    log_patterns: Sequence[str],
    *,
    since: datetime,
    until: datetime | None = None,
    filters: CallFilters = CallFilters(),  # noqa: B008 - it cannot change
    teams: Collection[str] | None = None,
    limit: int = 100,
    before: tuple[str, str] | None = None,
    block: int = BLOCK,
) -> list[ErrorLine]:
    """The calls that were not answered, by the time they began, the newest first.

    `until` is not included. `teams`: of these only, such as those that the asker may see. `before`:
    only what comes after the line of that place, which is the last one's of the page before. Plain
    files are read from their ends, `block` bytes at a time, until there is enough. Blocks. Raises
    LogError, Unreadable.
    """
    span = Span(written(since), written(until) if until else None)

    def wanted(line: bytes) -> ErrorLine | None:
        found = _error(line)
        if found is None or not _is_in(span, found.time) or not _fits(found, filters):
            return None
        is_seen = teams is None or found.team in teams
        return found if is_seen and (before is None or found.place < before) else None

    newest = _Newest(limit, written(since))
    for path in sorted(logs.expand(list(log_patterns)), key=_written_at, reverse=True):
        # Rotation and gzip keep the time at which a file was last written to.
        if _written_at(path) >= since.timestamp():
            _read(path, wanted, newest, block)
    return newest.lines()


def search_audit(
    path: Path,
    filters: ActionFilters = ActionFilters(),  # noqa: B008 - it cannot change
    *,
    span: Span = Span(),  # noqa: B008
    limit: int = 100,
    before_seq: int | None = None,
) -> list[Record]:
    """The records of the log at `path` and its rotated files, the newest first.

    `before_seq`: only older ones than that, which is the last one's of the page before. A line that
    is no record, or was changed, is left out: `verify` finds it. Blocks. Raises LogError,
    Unreadable.
    """

    def wanted(line: bytes) -> Record | None:
        record = parsed(line)
        if record is None or (before_seq is not None and record.seq >= before_seq):
            return None
        return record if _is_asked_for(record, filters, span) else None

    found: list[Record] = []
    for file in _rotated(path):
        if len(found) < limit:
            lines = _all_backwards(file)
            records = (record for line in lines if (record := wanted(line)))
            found += islice(records, limit - len(found))
    return found


class _Newest:
    """The newest lines so far, and whether older ones could still be among them."""

    def __init__(self, limit: int, since: str) -> None:
        self._limit = limit
        self._since = since
        self._heap: list[tuple[tuple[str, str], int, ErrorLine]] = []
        self._count = 0

    def add(self, line: ErrorLine) -> None:
        self._count += 1
        heapq.heappush(self._heap, (line.place, self._count, line))
        if len(self._heap) > self._limit:
            heapq.heappop(self._heap)

    def is_settled(self, ended: str) -> bool:
        """Whether nothing is missing that ended, and so began, before that."""
        is_full = len(self._heap) == self._limit
        oldest = self._heap[0][0][0] if is_full and self._heap else self._since
        return ended < oldest

    def lines(self) -> list[ErrorLine]:
        return [line for _, _, line in sorted(self._heap, reverse=True)]


def _read(
    path: Path, wanted: Callable[[bytes], ErrorLine | None], newest: _Newest, size: int
) -> None:
    if is_packed(path):
        for line in logs.lines(path):
            if _REFUSED.search(line.text) and (found := wanted(line.text)):
                newest.add(found)
        return
    for block in blocks(path, size):
        for text in _refused(block):
            if found := wanted(text):
                newest.add(found)
        # Lines are written in the order in which calls end.
        if (ended := _ended(block[: block.find(b"\n")])) and newest.is_settled(ended):
            return


def _refused(block: bytes) -> Iterator[bytes]:
    for found in _REFUSED.finditer(block):
        yield block[block.rfind(b"\n", 0, found.start()) + 1 : block.find(b"\n", found.end())]


def _error(line: bytes) -> ErrorLine | None:
    fields = _fields(line)
    decision = fields.get("decision")
    time = fields.get("time")
    if not isinstance(decision, str) or decision == ALLOWED or not isinstance(time, str):
        return None
    status = fields.get("status")
    texts = ("reason", "team", "project", "env", "provider", "path", "request_id")
    return ErrorLine(
        time=time,
        code=decision,
        status=status if isinstance(status, int) else None,
        key=_text(fields, "key_id"),
        model=_text(fields, "alias"),
        client_address=_text(fields, "client_address"),
        **{name: _text(fields, name) for name in texts},
    )


def _text(fields: dict[str, Any], name: str) -> str | None:
    value = fields.get(name)
    return value if isinstance(value, str) else None


def _fields(line: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return fields if isinstance(fields, dict) else {}


def _ended(line: bytes) -> str | None:
    """When a call ended; None where the line does not say."""
    fields = _fields(line)
    try:
        took = timedelta(milliseconds=fields.get("duration_ms", 0))
        return written(datetime.fromisoformat(fields["time"]) + took + _SLACK)
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def _is_in(span: Span, time: str) -> bool:
    return (not span.since or time >= span.since) and (not span.until or time < span.until)


def _is_asked_for(record: Record, filters: ActionFilters, span: Span) -> bool:
    fields = record.fields
    actor = fields["actor"]
    return _is_in(span, fields["time"]) and _all_match(
        (filters.actor, actor["id"] if actor else None),
        (filters.action, fields["action"]),
        (filters.target, fields["target"]),
        (filters.decision, fields["outcome"]),
    )


def _fits(line: ErrorLine, filters: CallFilters) -> bool:
    return _all_match(
        (filters.decision, line.code),
        (filters.key, line.key),
        (filters.team, line.team),
        (filters.project, line.project),
        (filters.model, line.model),
        (filters.env, line.env),
    )


def _all_match(*compared: tuple[str | None, str | None]) -> bool:
    """Each value with its pattern; no pattern takes any value."""
    return all(
        pattern is None or (value is not None and fnmatchcase(value, pattern.replace("[", "[[]")))
        for pattern, value in compared
    )


def _rotated(path: Path) -> list[Path]:
    """The files of a log, that with the newest records first."""
    files = [path, *path.parent.glob(f"{path.name}?*")]
    firsts = [(_first_seq(file), file) for file in files if file.is_file()]
    return [file for first, file in sorted(firsts, reverse=True) if first]


def _first_seq(path: Path) -> int:
    """0 for a file without a record."""
    for line in logs.lines(path):
        if record := parsed(line.text.removesuffix(b"\n")):
            return record.seq
    return 0


def _all_backwards(path: Path) -> Iterator[bytes]:
    if not is_packed(path):
        for block in blocks(path):
            yield from lines_of(block)
        return
    try:
        # An audit log is small, and its rotated files are smaller.
        yield from reversed(gzip.decompress(path.read_bytes()).split(b"\n"))
    except (OSError, EOFError, zlib.error) as error:
        raise Unreadable(f"{path} is a damaged gzip file") from error


def _written_at(path: Path) -> float:
    """When the file was last written to: gzip and rotation keep that."""
    return path.stat().st_mtime
