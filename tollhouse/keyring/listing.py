"""The keys of a policy as rows: their state, why, until when, where they are written."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from typing import Any

from tollhouse.keyring import moments
from tollhouse.keyring.actions import REASON
from tollhouse.keyring.places import KeyPlace, places
from tollhouse.policy.compiled import Key, Snapshot
from tollhouse.policy.lifetimes import KeyState, state_of
from tollhouse.policy.tree import PolicyTree


@dataclass(frozen=True, slots=True)
class Row:
    """One key. Moments are ISO 8601 in UTC; `previous` are those at which earlier keys end.

    `why` says what blocks it. `models` is how many it may call.
    """

    id: str
    team: str
    project: str
    env: str
    state: KeyState
    why: str
    expires: str
    previous: list[str]
    models: int
    where: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which keys to list; None is any."""

    team: str | None = None
    project: str | None = None
    env: str | None = None
    state: str | None = None

    def takes(self, row: Row) -> bool:
        """Whether the row is among them."""
        pairs = (
            (self.team, row.team),
            (self.project, row.project),
            (self.env, row.env),
            (self.state, row.state),
        )
        return all(wanted in (None, found) for wanted, found in pairs)


def rows(tree: PolicyTree, snapshot: Snapshot, wanted: Wanted, now: float) -> list[Row]:
    """Sorted by team, project and id."""
    made = (row_of(place, snapshot.keys[place.key.id], now) for place in places(tree))
    taken = (row for row in made if wanted.takes(row))
    return sorted(taken, key=lambda row: (row.team, row.project, row.id))


def row_of(place: KeyPlace, key: Key, now: float) -> Row:
    """One key as a row."""
    return Row(
        id=key.id,
        team=key.team,
        project=key.project,
        env=key.env or "",
        state=state_of(key, now),
        why=why_blocked(key),
        expires="" if key.expires_at is None else moments.iso(key.expires_at),
        previous=[moments.iso(until) for until in sorted(key.previous.values()) if until > now],
        models=len(key.models),
        where=f"{place.file}:{place.line}",
    )


def why_blocked(key: Key) -> str:
    """`blocked: REASON`, or which level blocks it; nothing for a key that is not blocked."""
    if key.blocked_at is None:
        return ""
    if key.blocked_at == "demo":
        return "a public demo key"
    if key.blocked_at == "key":
        return str(key.metadata.get(REASON, "the key itself"))
    return f"blocked by its {key.blocked_at}"


def as_json(found: Iterable[Row]) -> str:
    """A JSON list with one object for each."""
    return json.dumps([as_fields(row) for row in found], indent=2, ensure_ascii=False) + "\n"


def as_csv(found: Iterable[Row]) -> str:
    """With a header; several moments are separated by spaces."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_names())
    writer.writerows(_cells(row) for row in found)
    return text.getvalue()


def as_table(found: list[Row]) -> str:
    """Columns of equal width."""
    table = [[name.upper() for name in _names()], *(_cells(row) for row in found)]
    widths = [max(len(cell) for cell in column) for column in zip(*table, strict=True)]
    return "".join(f"{line.rstrip()}\n" for line in _padded(table, widths))


def _padded(table: list[list[str]], widths: list[int]) -> Iterator[str]:
    for cells in table:
        yield "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))


def _names() -> list[str]:
    return [field.name for field in fields(Row)]


def as_fields(row: Row) -> dict[str, Any]:
    """One row by name, for JSON."""
    return {name: getattr(row, name) for name in _names()}


def _cells(row: Row) -> list[str]:
    values = (getattr(row, name) for name in _names())
    return [" ".join(value) if isinstance(value, list) else str(value) for value in values]
