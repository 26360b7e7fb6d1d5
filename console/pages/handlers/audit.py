"""The audit log."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, TypeVar

from starlette.responses import Response

from console.audit.errors import Unreadable
from console.audit.filters import ActionFilters, span_of
from console.audit.head import head_path, read_head
from console.audit.record import Head, Record
from console.audit.search import search_audit
from console.pages.views import forms, links
from console.pages.views.audit import differences, record_line
from console.pages.views.known import Known
from console.pages.visit import Visit
from console.problems import ManageError
from tollhouse.access_log.logs import LogError
from tollhouse.keyring.moments import MomentError

T = TypeVar("T")

_A_PAGE: Final = 50
_FILTERS: Final = ("actor", "action", "target", "outcome", "from", "to")


async def listed(visit: Visit) -> Response:
    """The newest first, with filters."""
    visit.require("audit.read")
    chosen = {name: visit.query(name) or "" for name in _FILTERS}
    before = visit.query("before")
    error: ManageError | None = None
    found: list[Record] = []
    try:
        found = await _read(visit, lambda: _search(visit, chosen, before))
    except MomentError as wrong:
        error = ManageError("invalid_request", f"{wrong}. Nothing is shown.", param="from")
    except OverflowError:
        message = "A calendar has no such time: choose days closer to now. Nothing is shown."
        error = ManageError("invalid_request", message, param="to")
    shown, more = found[:_A_PAGE], len(found) > _A_PAGE
    address = f"{links.ROOT}/audit"
    return visit.page(
        "audit.html",
        "Audit",
        "Audit log",
        records=[record_line(each, Known(visit.snapshot)) for each in shown],
        chosen=chosen,
        is_filtered=any(chosen.values()),
        error=error,
        next=links.with_query(address, **chosen, before=shown[-1].seq) if more else None,
        first=links.with_query(address, **chosen) if before else None,
        head=await _read(visit, lambda: _head(visit)),
        file=visit.services.audit.path.name,
    )


async def record(visit: Visit) -> Response:
    """One record, whole."""
    visit.require("audit.read")
    wanted = visit.path("seq")
    if not wanted.isascii() or not wanted.isdecimal() or len(wanted) > 15:
        raise ManageError("not_found", "There is no such record.")
    seq = int(wanted)
    path = visit.services.audit.path
    found = await _read(visit, lambda: search_audit(path, limit=1, before_seq=seq + 1))
    if not found or found[0].seq != seq:
        raise ManageError("not_found", f"There is no record {seq} that can be read.")
    return visit.page(
        "record.html",
        "Audit",
        f"Record {seq}",
        record=record_line(found[0], Known(visit.snapshot)),
        fields=found[0].fields,
        differences=differences(found[0]),
    )


def _search(visit: Visit, chosen: dict[str, str], before: str | None) -> list[Record]:
    now = datetime.fromtimestamp(visit.now, UTC)
    filters = ActionFilters(
        **forms.said({name: chosen[name] or None for name in ("actor", "action", "target")}),
        decision=chosen["outcome"] or None,
    )
    return search_audit(
        visit.services.audit.path,
        filters,
        span=span_of(chosen["from"] or None, chosen["to"] or None, now),
        limit=_A_PAGE + 1,
        before_seq=int(before) if before and before.isascii() and before.isdecimal() else None,
    )


def _head(visit: Visit) -> Head | None:
    return read_head(head_path(visit.services.audit.path))


async def _read(visit: Visit, reading: Callable[[], T]) -> T:
    try:
        return await visit.in_thread(reading)
    except (Unreadable, LogError) as error:
        raise ManageError("audit_unavailable", f"The audit log cannot be read: {error}") from error
