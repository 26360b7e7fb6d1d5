"""Appending to the audit log, from any number of threads and processes at once.

    audit.json    the records, one a line
    audit.head    the last one's seq and hash
    audit.lock    held by whoever appends; its name never moves, so that rotation changes nothing
    audit.torn    what was put aside: ends of lines that a crash cut off

A record is in the log, and durable, before `append` returns. What a crash left is mended by the
next record, and a `log.repaired` record in front of it says so.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from console.audit.end import End, read_end
from console.audit.errors import AuditUnavailable, Unreadable
from console.audit.files import locked, opened, sync_directory, torn_path, write_all
from console.audit.head import head_path, read_head, write_head
from console.audit.record import NOTHING, Entry, Head, Record, line_of
from console.audit.redact import Redaction

REPAIRED: Final = "log.repaired"
"""The action of the log itself: `before` says what was found."""

_log = logging.getLogger(__name__)


class AuditLog:
    """The log at `path`, `<state-dir>/audit.json`. Opens nothing until something is appended.

    `on_head` is told every new head, outside of the lock and so not always in order: what keeps it
    elsewhere (`console.audit.kept_head`) must only go forward. It must not raise.
    """

    def __init__(
        self,
        path: Path,
        *,
        on_head: Callable[[Head], None] | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._path = path
        self._on_head = on_head
        self._now = now

    @property
    def path(self) -> Path:
        return self._path

    def append(self, entry: Entry) -> Record:
        """Record what was done or refused; the record as it was written, secrets hidden.

        Blocks for as long as others append and the disk takes. Raises AuditUnavailable.
        """
        try:
            with locked(self._path, exclusive=True), opened(self._path) as descriptor:
                record = self._append(descriptor, entry)
        except OSError as error:
            raise AuditUnavailable(
                f"the audit log {self._path} cannot be written: {error.strerror}"
            ) from error
        except Unreadable as error:
            raise AuditUnavailable(str(error)) from error
        _log.info("audit head %s", record.head)
        if self._on_head is not None:
            self._on_head(record.head)
        return record

    def _append(self, descriptor: int, entry: Entry) -> Record:
        end = read_end(descriptor)
        head, wrong = _continued(end, self._head(end), self._path)
        if end.torn:
            self._put_aside(descriptor, end)
        if wrong:
            _log.warning("audit log %s repaired: %s", self._path, json.dumps(wrong))
            repair = Entry(REPAIRED, f"log:{self._path.name}", "allowed", before=wrong)
            head = self._write(descriptor, repair, head).head
        return self._write(descriptor, entry, head)

    def _head(self, end: End) -> Head | None:
        try:
            return read_head(head_path(self._path))
        except Unreadable:
            # The last line says the same. Without both, nobody knows what to continue.
            if end.last is None:
                raise
            return None

    def _put_aside(self, descriptor: int, end: End) -> None:
        with opened(torn_path(self._path)) as aside:
            write_all(aside, end.torn + b"\n")
        os.ftruncate(descriptor, end.size - len(end.torn))

    def _write(self, descriptor: int, entry: Entry, head: Head) -> Record:
        fields = _fields(entry, head, self._now())
        line, fields["hash"] = line_of(fields)
        record = Record(fields)
        size = os.fstat(descriptor).st_size
        try:
            write_all(descriptor, line)
            write_head(head_path(self._path), record.head)
        except OSError:
            # The disk is full, say: what is not acknowledged is not to stay.
            os.ftruncate(descriptor, size)
            raise
        sync_directory(self._path.parent)
        return record


def _continued(end: End, kept: Head | None, path: Path) -> tuple[Head, dict[str, Any]]:
    """The record to continue, and what was found wrong.

    The head is behind when a process was killed between line and head; ahead when the log was
    rotated (then it is empty), or cut (then a gap stays for `verify` to find).
    """
    wrong: dict[str, Any] = {}
    if end.torn:
        wrong = {"torn_bytes": len(end.torn), "put_aside": torn_path(path).name}
    last = end.last
    if last is None:
        if end.size > len(end.torn):
            wrong["last_line"] = "not a record"
            if kept is None:
                raise Unreadable(
                    f"the last line of {path} is no record, and there is no {head_path(path).name}:"
                    " find out why (tollhouse audit verify), then move the log away"
                )
        return kept or NOTHING, wrong
    if kept != last:
        wrong |= {"last_record": last.seq, "head_record": kept.seq if kept else None}
    return (kept if kept is not None and kept.seq >= last.seq else last), wrong


def _fields(entry: Entry, head: Head, now: datetime) -> dict[str, Any]:
    redaction = Redaction()
    actor = entry.actor
    told = {
        "seq": head.seq + 1,
        "time": f"{now:%Y-%m-%dT%H:%M:%S}.{now.microsecond // 1000:03}Z",
        "actor": actor and {"id": actor.id, "role": actor.role, "via": actor.via},
        **{name: getattr(entry, name) for name in _ENTRY},
    }
    return {
        **{name: _shown(name, one, redaction) for name, one in told.items()},
        "previous_hash": head.hash,
    }


def _shown(name: str, value: Any, redaction: Redaction) -> Any:
    # Who it was and what it was about are names that a policy or a verified JWT has: to hide those
    # that look like a secret would let whoever chooses such a name act without one.
    if name in ("actor", "target") and not _A_KEY.search(json.dumps(value)):
        return value
    return redaction.value(value)


_A_KEY: Final = re.compile(r"tl[hm]_[A-Za-z0-9]{16}|sk-[A-Za-z0-9_-]{16}")


_ENTRY: Final = (
    *("action", "target", "outcome", "code", "before", "after", "client_address", "request_id"),
    *("policy_before", "policy_after"),
)
