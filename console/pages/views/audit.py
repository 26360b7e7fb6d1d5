"""Records of the audit log as pages show them. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from console.audit.record import Record
from console.audit.search import ErrorLine
from console.pages.views import numbers
from console.pages.views.known import Known
from console.pages.views.links import ROOT


@dataclass(frozen=True, slots=True)
class RecordLine:
    """A line of the list; `target_href` is where the target is shown, if it is."""

    seq: int
    href: str
    time: str
    when: str
    actor: str
    role: str
    action: str
    target: str
    target_href: str | None
    outcome: str
    code: str | None
    address: str | None


@dataclass(frozen=True, slots=True)
class Difference:
    """A field before and after, as JSON; "" where it was not there."""

    field: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class CallLine:
    """A call that was not answered."""

    time: str
    when: str
    key: str
    model: str
    decision: str
    status: int | None
    message: str | None
    request_id: str


def record_line(record: Record, known: Known) -> RecordLine:
    """As the log has it."""
    fields = record.fields
    actor: Mapping[str, Any] = fields["actor"] or {}
    return RecordLine(
        seq=record.seq,
        href=f"{ROOT}/audit/{record.seq}",
        time=fields["time"],
        when=when(fields["time"]),
        actor=str(actor.get("id", "nobody known")),
        role=" by ".join(str(actor[name]) for name in ("role", "via") if name in actor),
        action=fields["action"],
        target=fields["target"],
        target_href=known.target(fields["target"]),
        outcome=fields["outcome"],
        code=fields["code"],
        address=fields["client_address"],
    )


def differences(record: Record) -> list[Difference]:
    """Of what was there and what is, the fields that are not the same."""
    before, after = record.fields["before"] or {}, record.fields["after"] or {}
    if not isinstance(before, dict) or not isinstance(after, dict):
        return [Difference("value", _json(before), _json(after))]
    return [
        Difference(name, _json_of(before, name), _json_of(after, name))
        for name in dict.fromkeys((*before, *after))
        if before.get(name) != after.get(name) or (name in before) != (name in after)
    ]


def call_lines(lines: Iterable[ErrorLine]) -> list[CallLine]:
    """Of the access log."""
    return [
        CallLine(
            time=line.time,
            when=when(line.time),
            key=line.key or numbers.NOTHING,
            model=line.model or numbers.NOTHING,
            decision=line.code,
            status=line.status,
            message=line.reason,
            request_id=line.request_id or numbers.NOTHING,
        )
        for line in lines
    ]


def when(time: str) -> str:
    """ "28 Nov 2026, 13:05 UTC" of a time as logs write it."""
    try:
        return numbers.moment(datetime.fromisoformat(time).timestamp())
    except ValueError:
        return time


def _json_of(values: Mapping[str, Any], name: str) -> str:
    return _json(values[name]) if name in values else ""


def _json(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=1)
