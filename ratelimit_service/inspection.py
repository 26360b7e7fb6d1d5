"""`tollhouse ledger show` and `usage`: what the ledger holds, read and told."""

from __future__ import annotations

import csv
import json
import sys
from dataclasses import asdict
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from ratelimit_service.claims import every_slot, team_slots
from ratelimit_service.ledger.daily import DailyUsage
from ratelimit_service.ledger.history import usage
from ratelimit_service.ledger.ledger import Ledger
from ratelimit_service.ledger.store import open_redis
from ratelimit_service.ledger.types import ScopeState
from ratelimit_service.report import describe
from tollhouse.money import nano_to_usd
from tollhouse.policy.compiled import Snapshot
from tollhouse.policy.compiler import load_snapshot
from tollhouse.policy.problems import suggestion
from tollhouse.terminal import out

Days = tuple[date | None, date | None]
"""The first and the last, where they are given."""

_DEADLINE_SECONDS = 5.0
_SHOWN_DAYS = timedelta(days=30)
_COLUMNS = (
    *("day", "team", "project", "key", "alias", "requests", "input_tokens", "output_tokens"),
    *("cached_input_tokens", "cost_usd", "errors", "refusals"),
)


class UnknownTeam(Exception):
    """No team of that name; the message names one that is near."""


async def show(team: str, policies: Path, redis_url: str, *, as_json: bool) -> None:
    """Every counter of every scope of a team. Raises UnknownTeam, PolicyError, LedgerError."""
    snapshot = _with_team(load_snapshot(policies), team)
    client = open_redis(redis_url, timeout_seconds=_DEADLINE_SECONDS)
    ledger = Ledger(client, timeout_seconds=_DEADLINE_SECONDS)
    states: list[ScopeState] = []
    try:
        for part in team_slots(snapshot, team):
            states += await ledger.inspect(part, snapshot.org.time_zone)
    finally:
        await ledger.close()
    if as_json:
        out.print_json(json.dumps([asdict(state) for state in states]))
        return
    for state in states:
        out.print("\n".join(describe(state)), markup=False)


async def accept(policies: Path, redis_url: str) -> int:
    """Take the ledger as it is; how many slots. Raises PolicyError, LedgerError."""
    asked = every_slot(load_snapshot(policies))
    client = open_redis(redis_url, timeout_seconds=_DEADLINE_SECONDS)
    ledger = Ledger(client, timeout_seconds=_DEADLINE_SECONDS)
    try:
        await ledger.accept(asked)
    finally:
        await ledger.close()
    return len(asked)


async def show_usage(team: str, policies: Path, redis_url: str, days: Days, form: str) -> None:
    """The history of a team, as a `form` "csv" or "json"; without a last day until today, without a
    first one that of thirty days before. Raises as `show`, but not of a team that the policy no
    longer has and that used something then."""
    snapshot = load_snapshot(policies)
    labels = day_labels(days, datetime.now(ZoneInfo(snapshot.org.time_zone)))
    async with open_redis(redis_url, timeout_seconds=_DEADLINE_SECONDS) as client:
        rows = [_row(each) for each in await usage(client, team, labels)]
    if not rows:
        _with_team(snapshot, team)
    if form == "json":
        out.print_json(json.dumps(rows))
        return
    writer = csv.DictWriter(sys.stdout, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({**row, "refusals": json.dumps(row["refusals"])})


def day_labels(days: Days, now: datetime) -> list[str]:
    """The days as `YYYY-MM-DD`: until that of `now`, from thirty days before the last."""
    last = days[1] or now.date()
    first = days[0] or last - _SHOWN_DAYS
    return [(first + timedelta(days=n)).isoformat() for n in range((last - first).days + 1)]


def _row(used: DailyUsage) -> dict[str, object]:
    row = asdict(used)
    cost = row.pop("cost")
    return {**row, "cost_usd": nano_to_usd(cost)}


def _with_team(snapshot: Snapshot, team: str) -> Snapshot:
    if team not in snapshot.teams:
        raise UnknownTeam(f"no team is called '{team}'{suggestion(team, snapshot.teams)}")
    return snapshot
