"""Reads logs line by line, and asks a policy what it would have decided."""

from __future__ import annotations

import time
from pathlib import Path

from authz_service.replay.decider import Decider
from authz_service.replay.line import NO_MODEL, MalformedLine, read_line
from authz_service.replay.report import Report
from tollhouse.access_log import logs
from tollhouse.access_log.logs import Read
from tollhouse.policy.compiled import Snapshot

_TELL_EVERY = 4096
_MOST_SHOWN = 20


class Replay:
    """`against`: compare with another policy's decisions, not with those that are logged."""

    def __init__(self, policy: Snapshot, against: Snapshot | None, read: Read) -> None:
        self._new = Decider(policy)
        self._old = Decider(against) if against else None
        self._read = read
        self._report = Report()

    def run(self, paths: list[Path]) -> Report:
        """All logs. Raises LogError."""
        began = time.monotonic()
        for path in paths:
            self._log(path)
        self._report.seconds = time.monotonic() - began
        return self._report

    def _log(self, path: Path) -> None:
        for line in logs.lines(path):
            if not line.number % _TELL_EVERY:
                self._read(path, line.read)
            if not line.whole:
                continue  # still being written
            self._report.lines += 1
            try:
                self._line(line.text)
            except (MalformedLine, ValueError):
                self._malformed(f"{path}:{line.number}")

    def _line(self, text: bytes) -> None:
        logged = read_line(text)
        if isinstance(logged, str):
            self._report.not_compared[logged] += 1
            return
        new = self._new.decide(logged.question, logged.time)
        old = logged.code
        if self._old is not None:
            old = self._old.decide(logged.question, logged.time).code
        if NO_MODEL in (old, new.code):
            self._report.not_compared[NO_MODEL] += 1
        else:
            self._report.add(logged, old, new)

    def _malformed(self, place: str) -> None:
        self._report.malformed += 1
        if len(self._report.problems) < _MOST_SHOWN:
            self._report.problems.append(f"{place}: not a line of an access log")
