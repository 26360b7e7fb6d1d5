"""GET /manage/usage and /manage/errors: what was used, and what went wrong."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from typing import Annotated, get_args
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query, Response

from console.acting import Acting
from console.api.callers import Asker
from console.api.http import HEADERS, ExactRoute, answer, refusals
from console.audit.errors import Unreadable
from console.audit.filters import CallFilters
from console.audit.search import recent_errors
from console.problems import ManageError
from console.reads.days import this_month
from console.reads.usage import DIMENSIONS, Dimension, UsageQuery, UsageRow, as_csv, total
from console.shapes.usage import (
    CodeCount,
    ErrorLine,
    ErrorQueryShape,
    ErrorReport,
    Period,
    UsageQueryShape,
    UsageReport,
    UsageSum,
)
from ratelimit_service.ledger.errors import LedgerError
from tollhouse.access_log.logs import LogError
from tollhouse.money import nano_to_decimal

router = APIRouter(prefix="/manage", tags=["usage"], route_class=ExactRoute)

log = logging.getLogger("tollhouse.console")

_CSV = {"content": {"text/csv": {"schema": {"type": "string"}}}}


@router.get(
    "/usage",
    response_model=UsageReport,
    responses={200: _CSV, **refusals("ledger_unavailable")},
    summary="What was used, by team, project, key, model or day",
)
async def usage(asker: Asker, query: Annotated[UsageQueryShape, Query()]) -> Response:
    group_by = _dimensions(query.group_by)
    asked = _asked(asker, query, group_by)
    rows = await _rows(asker, asked)
    if query.format == "csv":
        name = f"usage-{asked.first}-{asked.last}.csv"
        disposition = {"content-disposition": f'attachment; filename="{name}"'}
        return Response(
            as_csv(rows, group_by), media_type="text/csv", headers={**HEADERS, **disposition}
        )
    return answer(
        UsageReport(
            first=asked.first,
            last=asked.last,
            time_zone=asker.policy.snapshot.org.time_zone,
            group_by=list(asked.dimensions),
            data=[_sum(row) for row in rows],
            total=_sum(total(rows)),
        )
    )


@router.get(
    "/errors",
    response_model=ErrorReport,
    responses=refusals("ledger_unavailable"),
    summary="Refusals and provider errors: how often, and the latest",
)
async def errors(asker: Asker, query: Annotated[ErrorQueryShape, Query()]) -> Response:
    asker.require("error.read", query.team)
    asked = _asked(asker, query, ("team",))
    whole = total(await _rows(asker, asked))
    counts = {**whole.refusals, **({"provider_error": whole.errors} if whole.errors else {})}
    return answer(
        ErrorReport(
            first=asked.first,
            last=asked.last,
            time_zone=asker.policy.snapshot.org.time_zone,
            summary=_counted(counts, query.code),
            data=await asyncio.to_thread(_lines, asker, query, asked),
            has_log=bool(asker.services.access_logs),
        )
    )


def _lines(asker: Acting, query: ErrorQueryShape, asked: UsageQuery) -> list[ErrorLine]:
    if not asker.services.access_logs:
        return []
    zone = ZoneInfo(asker.policy.snapshot.org.time_zone)
    visible = asked.teams if query.team is None else {query.team}
    try:
        found = recent_errors(
            asker.services.access_logs,
            since=_midnight(asked.first, zone),
            until=_midnight(asked.last + timedelta(days=1), zone),
            teams=visible,
            filters=CallFilters(
                key=query.key,
                project=query.project,
                model=query.model,
                decision=query.code,
            ),
            limit=query.limit,
        )
    except (LogError, OSError, Unreadable) as error:
        # The counts are known all the same.
        log.warning("the access log cannot be read", extra={"fields": {"reason": str(error)}})
        return []
    return [
        ErrorLine(**{name: getattr(each, name) for name in ErrorLine.model_fields})
        for each in found
    ]


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time.min, zone)


def _asked(asker: Acting, query: Period, group_by: tuple[Dimension, ...]) -> UsageQuery:
    asker.require("usage.read", query.team)
    first, last = _days(asker, query)
    try:
        return UsageQuery(
            first,
            last,
            group_by,
            team=query.team,
            project=query.project,
            key=query.key,
            model=query.model,
            teams=asker.actor.teams,
        )
    except ValueError as error:
        raise ManageError("invalid_request", str(error)) from None


def _days(asker: Acting, query: Period) -> tuple[date, date]:
    month, today = this_month(asker.policy.snapshot, asker.now)
    last = query.last or today
    return query.first or min(month, last), last


def _dimensions(named: Iterable[str]) -> tuple[Dimension, ...]:
    words = [word.strip() for each in named for word in each.split(",") if word.strip()]
    known: dict[str, Dimension] = {name: name for name in DIMENSIONS}
    if unknown := [word for word in words if word not in known]:
        listed = ", ".join(get_args(Dimension))
        raise ManageError(
            "invalid_request", f"'group_by' can be {listed}, not {unknown[0]!r:.40}", "group_by"
        )
    return tuple(known[word] for word in words) or ("team",)


async def _rows(asker: Acting, query: UsageQuery) -> list[UsageRow]:
    try:
        return await asker.services.readings.usage(asker.policy.snapshot, query)
    except LedgerError as error:
        raise ManageError("ledger_unavailable", f"{error}: try again") from error


def _sum(row: UsageRow) -> UsageSum:
    names = {name: getattr(row, name) for name in DIMENSIONS}
    return UsageSum(
        **names,
        requests=row.requests,
        input_tokens=row.input_tokens,
        output_tokens=row.output_tokens,
        cached_input_tokens=row.cached_input_tokens,
        cost_usd=nano_to_decimal(row.cost),
        errors=row.errors,
        refusals=row.refusals,
    )


def _counted(counts: dict[str, int], code: str | None) -> list[CodeCount]:
    wanted = ((name, count) for name, count in counts.items() if code in (None, name))
    ranked = sorted(wanted, key=lambda each: (-each[1], each[0]))
    return [CodeCount(code=name, count=count) for name, count in ranked]
