"""A report as one screen of text."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from tollhouse.status.report import Part, Report

_HEADER = (" ", "part", "policy", "since (UTC)", "state", "where")
_MARK = "!"


def lines(report: Report) -> Iterator[str]:
    """A table, what is wrong below it, and the verdict."""
    rows = [_HEADER, *(_row(report, part) for part in report.parts)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(map(str.ljust, row, widths)).rstrip()
    yield ""
    for part in report.parts:
        if part.problem:
            yield f"{part.kind} {part.where}: {part.problem}"
    yield _verdict(report)


def _row(report: Report, part: Part) -> tuple[str, ...]:
    since = datetime.fromtimestamp(part.since, UTC) if part.since is not None else None
    return (
        " " if report.is_well(part) else _MARK,
        part.kind,
        part.version or "-",
        f"{since:%Y-%m-%d %H:%M:%S}" if since else "-",
        _state(part),
        part.where,
    )


def _state(part: Part) -> str:
    if part.kind == "disk":
        return "good" if part.ready else "not good"
    words = ["ready" if part.ready else "not ready"]
    if part.stale:
        words.append("stale")
    if part.refusals:
        words.append(f"{part.refusals} refused")
    return ", ".join(words)


def _verdict(report: Report) -> str:
    if report.all_well:
        return f"All are ready and go by policy {report.version}."
    unwell = sum(not report.is_well(part) for part in report.parts)
    policy = f"policy {report.version}" if report.version else "a policy"
    return f"{unwell} of {len(report.parts)} (marked {_MARK}) not ready, or not by {policy}."
