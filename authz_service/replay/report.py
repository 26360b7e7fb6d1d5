"""What a replay found, added up: memory follows the policy's size, not the log's. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from authz_service.replay.decider import Verdict
from authz_service.replay.line import Logged
from tollhouse.decisions import ALLOWED

Kind = Literal["newly_denied", "newly_allowed", "refused_otherwise", "would_deny"]

_EXAMPLES = 3


class Row(NamedTuple):
    """Calls that changed alike. `old` and `new` are decision codes."""

    kind: Kind
    team: str
    key_id: str
    alias: str
    old: str
    new: str


@dataclass(slots=True)
class Tally:
    """How many they were, when (as logged), why, and the request ids of the first few."""

    reason: str
    first: str
    last: str
    requests: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, time: str, request_id: str) -> None:
        """One more."""
        self.requests += 1
        self.first, self.last = min(self.first, time), max(self.last, time)
        if len(self.examples) < _EXAMPLES:
            self.examples.append(request_id)


@dataclass(slots=True)
class Report:
    """`not_compared` by why, `problems` are the first malformed lines, as file:line."""

    lines: int = 0
    unchanged: Counter[str] = field(default_factory=Counter)
    rows: dict[Row, Tally] = field(default_factory=dict)
    not_compared: Counter[str] = field(default_factory=Counter)
    unknown_keys: set[str] = field(default_factory=set)
    malformed: int = 0
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, logged: Logged, old: str, new: Verdict) -> None:
        """One call that could be compared: the old code, and the new verdict."""
        if new.would_deny:
            row = self._row("would_deny", logged, old, ALLOWED)
            self._tally(row, f"{new.would_deny} would", logged)
        if new.is_unknown_key:
            self.unknown_keys.add(logged.question.key_id)
        if old == new.code:
            self.unchanged[old] += 1
            return
        kind: Kind = "refused_otherwise"
        if ALLOWED in (old, new.code):
            kind = "newly_denied" if old == ALLOWED else "newly_allowed"
        self._tally(self._row(kind, logged, old, new.code), new.reason, logged)

    def of(self, kind: Kind) -> list[tuple[Row, Tally]]:
        """The rows of a kind, by team, those with most requests first."""
        found = [(row, tally) for row, tally in self.rows.items() if row.kind == kind]
        return sorted(found, key=lambda one: (one[0].team, -one[1].requests, one[0]))

    def requests(self, kind: Kind) -> int:
        """How many requests."""
        return sum(tally.requests for _, tally in self.of(kind))

    def _row(self, kind: Kind, logged: Logged, old: str, new: str) -> Row:
        question = logged.question
        return Row(kind, logged.team, question.key_id, question.alias or "", old, new)

    def _tally(self, row: Row, reason: str, logged: Logged) -> None:
        tally = self.rows.get(row)
        if tally is None:
            tally = self.rows[row] = Tally(reason, logged.time, logged.time)
        tally.add(logged.time, logged.request_id)
