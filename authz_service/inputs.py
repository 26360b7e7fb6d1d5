"""What the policy tools are given, looked up; and what is said when it cannot be found."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from tollhouse.policy.compiled import Alias, Key, Snapshot
from tollhouse.policy.problems import PolicyError, suggestion
from tollhouse.policy.rules import KEY_PREFIXES


class InputProblem(Exception):
    """What was asked cannot be answered; the message says what to write, and repeats no key."""


class BadPolicy(Exception):
    """A policy that would not be taken; the message is one line a problem, with its file."""


@contextlib.contextmanager
def loading(name: str) -> Iterator[None]:
    """Problems of the tree that is called `name` are told under this name. Raises BadPolicy."""
    try:
        yield
    except PolicyError as error:
        # A tree that is not there is itself the place.
        lines = [f"{'' if each.file == name else f'{name}/'}{each}" for each in error.problems]
        lines.append(f"{len(lines)} problem(s): {name} would not be taken.")
        raise BadPolicy("\n".join(lines)) from None


def key_of(snapshot: Snapshot, key_id: str) -> Key:
    """The key with this id. Raises InputProblem."""
    if key_id.startswith(KEY_PREFIXES):
        raise InputProblem("that looks like a key, and it is not repeated here: give the key's id")
    if key_id not in snapshot.keys:
        raise InputProblem(f"no key has the id '{key_id}'{suggestion(key_id, snapshot.keys)}")
    return snapshot.keys[key_id]


def alias_of(snapshot: Snapshot, name: str) -> Alias:
    """The alias of this name. Raises InputProblem."""
    if name.startswith(KEY_PREFIXES):
        raise InputProblem("that looks like a key, and it is not repeated here: name a model")
    if name not in snapshot.aliases:
        raise InputProblem(f"unknown model '{name}'{suggestion(name, snapshot.aliases)}")
    return snapshot.aliases[name]


def moment_of(text: str | None, zone: str) -> float:
    """Seconds since the epoch; a time without offset is one in `zone`, None is now.

    Raises:
        InputProblem: it is no time.
    """
    if text is None:
        return datetime.now(UTC).timestamp()
    try:
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=ZoneInfo(zone))).timestamp()
    except (ValueError, OverflowError):
        raise InputProblem(
            f"'{text}' is not a time such as 2026-12-01T12:00:00Z or 2026-12-01"
        ) from None


def shown_moment(seconds: float) -> str:
    """ "2026-12-01T12:00:00Z"."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def aligned(rows: Iterable[tuple[str, ...]], indent: str = "  ") -> Iterator[str]:
    """Rows of text as lines with their columns one under the other."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        yield (indent + "  ".join(cells)).rstrip()
