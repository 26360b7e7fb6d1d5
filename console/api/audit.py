"""GET /manage/audit: who managed what."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query, Response

from console.acting import Acting
from console.api.callers import Asker
from console.api.http import ExactRoute, answer, refusals
from console.audit.errors import Unreadable
from console.audit.filters import ActionFilters, Span, written
from console.audit.record import Record
from console.audit.search import search_audit
from console.problems import ManageError
from console.shapes.audit import AuditPage, AuditQuery, AuditRecord
from tollhouse.access_log.logs import LogError

router = APIRouter(prefix="/manage/audit", tags=["audit"], route_class=ExactRoute)


@router.get(
    "",
    response_model=AuditPage,
    responses=refusals("audit_unavailable"),
    summary="The audit log, the newest first",
)
async def audit(asker: Asker, query: Annotated[AuditQuery, Query()]) -> Response:
    asker.require("audit.read")
    found = await asyncio.to_thread(_found, asker, query)
    records = [AuditRecord.model_validate(dict(record.fields)) for record in found]
    more = records[-1].seq if len(records) == query.limit else None
    return answer(AuditPage(data=records, next=more))


def _found(asker: Acting, query: AuditQuery) -> list[Record]:
    filters = ActionFilters(
        actor=query.actor, action=query.action, target=query.target, decision=query.outcome
    )
    try:
        return search_audit(
            asker.services.audit.path,
            filters,
            span=Span(_moment(query.since), _moment(query.until)),
            limit=query.limit,
            before_seq=query.after,
        )
    except FileNotFoundError:
        return []
    except (LogError, OSError, Unreadable) as error:
        raise ManageError("audit_unavailable", f"the audit log cannot be read: {error}") from error


def _moment(when: datetime | None) -> str | None:
    if when is None:
        return None
    try:
        return written(when if when.tzinfo else when.replace(tzinfo=UTC))
    except OverflowError:
        raise ManageError("invalid_request", "'from' and 'to' must be moments of our era") from None
