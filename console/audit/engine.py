"""DuckDB over the JSON files of logs: columns with stated types, no network, nothing installed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread
from typing import Any, Final

import duckdb

from console.audit import costs
from console.audit.backwards import blocks, is_packed
from console.audit.errors import Unreadable

Row = tuple[Any, ...]
Database = duckdb.DuckDBPyConnection
Progress = Callable[[float], None]
"""Told from another thread how much of a query is done, in per cent."""

ACCESS: Final = {
    "time": "VARCHAR",
    "request_id": "VARCHAR",
    "client_address": "VARCHAR",
    "key_id": "VARCHAR",
    "team": "VARCHAR",
    "project": "VARCHAR",
    "env": "VARCHAR",
    "alias": "VARCHAR",
    "decision": "VARCHAR",
    "reason": "VARCHAR",
    "status": "BIGINT",
    "flags": "VARCHAR",
    "duration_ms": "BIGINT",
    "attempts": "BIGINT",
    "usage": costs.USAGE,
    "price": costs.PRICE,
    "tried": f"STRUCT(silent STRUCT(usage {costs.USAGE}, price {costs.PRICE}))[]",
    "reservation": "STRUCT(reservation_id VARCHAR, cost_nanousd VARCHAR)",
}
"""Of the access log, what reports need. Times are of one form, so they compare as texts."""

AUDIT: Final = {
    "seq": "BIGINT",
    "time": "VARCHAR",
    "actor": "STRUCT(id VARCHAR, role VARCHAR, via VARCHAR)",
    "action": "VARCHAR",
    "target": "VARCHAR",
    "outcome": "VARCHAR",
    "code": "VARCHAR",
    "before": "JSON",
    "after": "JSON",
    "client_address": "VARCHAR",
    "request_id": "VARCHAR",
    "policy_before": "VARCHAR",
    "policy_after": "VARCHAR",
}

_SETTINGS: Final[dict[str, str | bool | int | float | list[str]]] = {
    "allow_community_extensions": False,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "python_enable_replacements": False,
    # Reports say how they sort; files are read by all cores at once.
    "preserve_insertion_order": False,
    # Aggregates take a few MB; what is larger goes to a file.
    "memory_limit": "2GB",
}


_EVERY_SECONDS: Final = 0.2
_SET: Final = (
    "SET enable_progress_bar = true",
    "SET enable_progress_bar_print = false",
    "SET lock_configuration = true",
)


@contextmanager
def opened(progress: Progress | None = None) -> Iterator[Database]:
    """A database of nothing, for one thread. What DuckDB says of files is raised as Unreadable."""
    with duckdb.connect(":memory:", config=_SETTINGS) as db:
        for setting in (*_SET, *(f"CREATE TEMP MACRO {each}" for each in costs.MACROS)):
            db.execute(setting)
        try:
            with _watched(db, progress):
                yield db
        except (duckdb.IOException, duckdb.InvalidInputException) as error:
            raise Unreadable(f"a log cannot be read: {str(error).splitlines()[0]}") from error
        except duckdb.OutOfMemoryException as error:
            raise Unreadable("that needs more memory than 2 GB: ask for less") from error


@contextmanager
def _watched(db: Database, progress: Progress | None) -> Iterator[None]:
    if progress is None:
        yield
        return
    over = Event()
    watcher = Thread(target=_watch, args=(db, progress, over), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def _watch(db: Database, progress: Progress, over: Event) -> None:
    while not over.wait(_EVERY_SECONDS):
        # Negative between two queries.
        if (done := db.query_progress()) >= 0:
            progress(done)


def source(paths: Sequence[Path], columns: dict[str, str]) -> tuple[str, list[Any]]:
    """What to select from, and its parameters. A line that is no JSON object, or has no time, is a
    row whose `time` is NULL."""
    packed = [path for path in paths if is_packed(path)]
    plain = [path for path in paths if path not in packed]
    parts = [_reader(files, columns) for files in (plain, packed) if files]
    values = [each for part in parts for each in part[1]]
    return f"({' UNION ALL '.join(part[0] for part in parts)})", values


def _reader(paths: list[Path], columns: dict[str, str]) -> tuple[str, list[Any]]:
    compression = "gzip" if is_packed(paths[0]) else "uncompressed"
    typed = ", ".join(f'"{name}": {kind!r}' for name, kind in columns.items())
    text = (
        "SELECT * FROM read_json(?, format = 'newline_delimited', ignore_errors = true,"  # noqa: S608
        f" compression = '{compression}', columns = {{{typed}}})"
    )
    return text, [[str(path) for path in paths]]


@contextmanager
def ends(paths: Sequence[Path], size: int) -> Iterator[list[Path]]:
    """Copies of the last `size` bytes or more of the plain files that were written to last, as
    files that are gone afterwards."""
    plain = [path for path in paths if not is_packed(path)]
    with TemporaryDirectory(prefix="tollhouse-search-") as folder:
        copies: list[Path] = []
        for path in sorted(plain, key=lambda each: each.stat().st_mtime, reverse=True):
            if size <= 0:
                break
            copies.append(Path(folder) / str(len(copies)))
            with copies[-1].open("wb") as copy:
                for block in blocks(path):
                    size -= copy.write(block)
                    if size <= 0:
                        break
        yield copies


def stream(result: Database, at_once: int = 2048) -> Iterator[Row]:
    """The rows as they come."""
    while rows := result.fetchmany(at_once):
        yield from rows
