"""`tollhouse audit search`: what is asked, of which files, and how it is printed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Final

from rich.console import Console
from rich.progress import Progress

from console.audit import engine, printing, reports
from console.audit.filters import ActionFilters, CallFilters, Span
from console.audit.reports import Report
from tollhouse.access_log import logs

_SAY_EVERY_SECONDS: Final = 5.0
_SHOWN: Final = {
    "calls": (
        *("time", "team", "key", "model", "decision", "status"),
        *("input_tokens", "output_tokens", "cost_nanousd", "duration_ms"),
    ),
    "denials": ("code", "team", "key", "model", "first", "last", "count"),
}
_ORDERS: Final = {
    "calls": "newest first",
    "who": "dearest first",
    "denials": "most frequent first",
    "spikes": "those that stand out most first",
    "actions": "newest first",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """`limit` 0: all calls, as CSV, in no order."""

    report: str
    logs: list[str]
    span: Span
    calls: CallFilters
    actions: ActionFilters
    limit: int
    form: str


class Contradiction(ValueError):
    """Options that do not go together; the message names them."""


def run_search(asked: Asked, out: Console, err: Console) -> None:
    """Raises Contradiction, Unreadable, LogError."""
    _check(asked)
    paths = logs.expand(asked.logs)
    with _progress(err) as said, engine.opened(said) as db:
        if asked.limit == 0:
            broken = _print_all(reports.all_calls(db, paths, asked.span, asked.calls), out)
            _say_broken(broken, err)
            return
        if asked.report == "actions":
            report = reports.actions(db, paths, asked.span, asked.actions, asked.limit)
        else:
            make = getattr(reports, asked.report)
            report = make(db, paths, asked.span, asked.calls, asked.limit)
    _print(report, asked, out, err)


def _check(asked: Asked) -> None:
    is_actions = asked.report == "actions"
    others = asked.calls if is_actions else asked.actions
    for each in fields(others):
        if getattr(others, each.name) is not None and each.name != "decision":
            log = "access log" if is_actions else "audit log"
            raise Contradiction(f"--{each.name} is of the {log}, --report {asked.report} is not")
    if asked.limit == 0 and (asked.report, asked.form) != ("calls", "csv"):
        raise Contradiction("--limit 0, for all, is for --report calls --format csv")


def _print(report: Report, asked: Asked, out: Console, err: Console) -> None:
    if asked.form == "json":
        data = printing.as_data(report.columns, report.rows)
        told = {"data": data, "matched": report.matched, "broken_lines": report.broken}
        out.print(json.dumps(told, indent=2), markup=False)
    elif asked.form == "csv":
        _print_csv(report.columns, report.rows, out)
    elif report.rows:
        shown = _SHOWN.get(asked.report, ())
        out.print(printing.as_table(report.columns, report.rows, shown), markup=False)
    if asked.form != "json":
        _say_rest(report, asked.report, err)
        _say_broken(report.broken, err)


def _say_rest(report: Report, name: str, err: Console) -> None:
    if not report.rows:
        err.print("nothing matches")
    elif len(report.rows) < report.matched:
        count = f"{len(report.rows):,} of {report.matched:,}"
        err.print(f"{count}, {_ORDERS[name]}: --limit shows more", markup=False)


def _say_broken(broken: int, err: Console) -> None:
    if broken:
        lines = "1 line is" if broken == 1 else f"{broken:,} lines are"
        err.print(f"{lines} broken: no JSON object with a time, left out", markup=False)


def _print_all(rows: Iterator[engine.Row], out: Console) -> int:
    broken = 0

    def whole() -> Iterator[engine.Row]:
        nonlocal broken
        for row in rows:
            if row[0] is None:
                broken += 1
            else:
                yield row

    _print_csv(tuple(reports.CALLS), whole(), out)
    return broken


def _print_csv(columns: tuple[str, ...], rows: Iterable[engine.Row], out: Console) -> None:
    for line in printing.as_csv(columns, rows):
        # Rich takes longer than the search.
        out.file.write(f"{line}\n")


@contextmanager
def _progress(err: Console) -> Iterator[engine.Progress]:
    """A bar where there is a terminal, else a line every few seconds."""
    if err.is_terminal:
        with Progress(console=err, transient=True) as bar:
            task = bar.add_task("reading", total=100)
            yield lambda done: bar.update(task, completed=done)
        return
    said = time.monotonic()

    def say(done: float) -> None:
        nonlocal said
        if time.monotonic() - said > _SAY_EVERY_SECONDS:
            said = time.monotonic()
            err.print(f"{done:.0f} % read", markup=False)

    yield say
