"""What an alert tells beside its figures: the keys, models or teams that cost most of it."""

from __future__ import annotations

import asyncio
from datetime import date, timedelta
from typing import Final

from console.alerts.alert import Alert
from console.alerts.message import Top, top
from console.reads.readings import Readings
from console.reads.usage import Dimension, UsageQuery
from ratelimit_service.ledger.errors import LedgerUnavailable
from tollhouse.policy.compiled import Level, Snapshot

# An alert without them is better than one that comes late.
_DEADLINE_SECONDS = 10.0

_TELLING: Final[dict[Level, tuple[Dimension, ...]]] = {
    "org": ("team", "model"),
    "team": ("key", "model"),
    "project": ("key", "model"),
    "key": ("model",),
    "alias": ("team", "key"),
}


async def details(readings: Readings, snapshot: Snapshot, alert: Alert) -> dict[Dimension, Top]:
    """By what it is; nothing if the history cannot be read now, or does not tell environments
    apart."""
    scope = alert.scope
    if scope.env is not None:
        return {}
    wanted = tuple(each for each in _TELLING[scope.level] if each != "model" or not scope.model)
    if not wanted:
        return {}
    last = date.fromisoformat(scope.periods.day)
    query = UsageQuery(
        first=_first_day(alert.about, last),
        last=last,
        group_by=wanted,
        team=scope.team,
        project=scope.project if scope.level == "project" else None,
        key=scope.name if scope.level == "key" else None,
        model=scope.model,
    )
    try:
        async with asyncio.timeout(_DEADLINE_SECONDS):
            rows = await readings.usage(snapshot, query)
    except (LedgerUnavailable, TimeoutError):
        return {}
    return {dimension: top(rows, dimension) for dimension in wanted}


def _first_day(about: str, day: date) -> date:
    if about == "monthly_spend_usd":
        return day.replace(day=1)
    if about == "weekly_spend_usd":
        return day - timedelta(days=day.weekday())
    return day
