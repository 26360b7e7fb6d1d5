"""A report as text, data and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

from authz_service.inputs import aligned
from authz_service.replay.line import BODY, NO_DECISION, NO_KEY, NO_MODEL
from authz_service.replay.report import Kind, Report, Row, Tally
from tollhouse.decisions import ALLOWED

_TITLES: dict[Kind, str] = {
    "newly_denied": "newly denied",
    "newly_allowed": "newly allowed",
    "refused_otherwise": "refused as before, with another code",
    "would_deny": "allowed, and logged as would_deny by rules in shadow",
}
_NOT_COMPARED = {
    NO_KEY: "came without a known key",
    BODY: "were refused for what they sent",
    NO_DECISION: "ended before a decision",
    NO_MODEL: "do not say which model was called",
}
_COLUMNS = (
    *("change", "team", "key_id", "alias", "old", "new"),
    *("requests", "first", "last", "reason", "examples"),
)


def as_text(report: Report, version: str) -> Iterator[str]:
    """For people."""
    rate = report.lines / report.seconds if report.seconds else 0
    yield f"{report.lines:,} lines read, {rate:,.0f} a second; policy {version}"
    for kind, title in _TITLES.items():
        if rows := report.of(kind):
            yield f"\n{title}: {_requests(report.requests(kind))}"
            for row, tally in rows:
                yield from _row(row, tally)
    yield ""
    yield from aligned(_counts(report), indent="")
    if report.unknown_keys:
        yield f"keys that the policy does not know: {', '.join(sorted(report.unknown_keys))}"


def as_data(report: Report, version: str) -> dict[str, Any]:
    """For scripts."""
    return {
        "policy_version": version,
        "lines": report.lines,
        "unchanged": dict(report.unchanged),
        "not_compared": dict(report.not_compared),
        "malformed": report.malformed,
        "unknown_keys": sorted(report.unknown_keys),
        **{kind: [_data(row, tally) for row, tally in report.of(kind)] for kind in _TITLES},
    }


def as_csv(report: Report) -> str:
    """One row for calls that changed alike."""
    text = io.StringIO()
    writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    for kind in _TITLES:
        for row, tally in report.of(kind):
            data = _data(row, tally)
            writer.writerow({"change": kind, **data, "examples": " ".join(data["examples"])})
    return text.getvalue()


def _row(row: Row, tally: Tally) -> Iterator[str]:
    alias = row.alias or "no model"
    codes = row.new if row.kind == "newly_denied" else f"{row.old} → {row.new}"
    head = f"  {row.team}  {row.key_id}  {alias}  {_requests(tally.requests)}"
    yield head if row.kind == "would_deny" else f"{head}  {codes}"
    if tally.reason:
        yield f"    {tally.reason}"
    yield f"    {tally.first} to {tally.last}, e.g. {', '.join(tally.examples)}"


def _counts(report: Report) -> Iterator[tuple[str, str]]:
    refused = report.unchanged.total() - report.unchanged[ALLOWED]
    yield (f"{report.unchanged[ALLOWED]:,}", "allowed, as before")
    yield (f"{refused:,}", "refused, as before")
    for why, words in _NOT_COMPARED.items():
        if count := report.not_compared[why]:
            yield (f"{count:,}", f"not compared: they {words}")
    if report.malformed:
        yield (f"{report.malformed:,}", "not lines of an access log")


def _requests(count: int) -> str:
    return f"{count:,} request{'s' * (count != 1)}"


def _data(row: Row, tally: Tally) -> dict[str, Any]:
    return {
        "team": row.team,
        "key_id": row.key_id,
        "alias": row.alias or None,
        "old": row.old,
        "new": row.new,
        "requests": tally.requests,
        "first": tally.first,
        "last": tally.last,
        "reason": tally.reason,
        "examples": tally.examples,
    }
