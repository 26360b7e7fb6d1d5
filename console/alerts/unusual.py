"""Finds the teams whose day is a spike, without reading their whole history at each check."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import date, timedelta

from console.alerts.alert import Alert, spike_alert
from console.reads.days import day_end
from console.reads.live import LiveScope
from console.reads.readings import Readings
from console.reads.spikes import spikes
from console.reads.usage import UsageQuery
from tollhouse.policy.compiled import Snapshot
from tollhouse.policy.management import Alerts

# How far back a team's first day of use is looked for. A team that rested longer is new again.
_DAYS_BACK = 60


class SpikeWatch:
    """Remembers what the days before this one cost, of teams whose day could be a spike."""

    def __init__(self, readings: Readings) -> None:
        self._readings = readings
        self._day: date | None = None
        self._past: dict[str, dict[date, int]] = {}

    async def alerts(
        self, snapshot: Snapshot, settings: Alerts, scopes: Iterable[LiveScope], now: float
    ) -> list[Alert]:
        """One for each team whose day is a spike by now (epoch seconds). Raises LedgerUnavailable.

        The day and what it costs are those of `scopes`, by Redis's clock.
        """
        teams = {each.name: each for each in scopes if _is_dear(each, settings)}
        if not teams:
            return []
        label = next(iter(teams.values())).periods.day
        day = date.fromisoformat(label)
        await self._read(snapshot, teams, day)
        costs = {
            name: {**self._past[name], day: scope.spent_today} for name, scope in teams.items()
        }
        ends_at = day_end(snapshot, label, now)
        found = spikes(costs, day, settings.spike_times, settings.spike_at_least)
        return [spike_alert(spike, teams[spike.team], ends_at, now) for spike in found]

    async def _read(self, snapshot: Snapshot, teams: Collection[str], day: date) -> None:
        if day != self._day:
            self._day, self._past = day, {}
        new = frozenset(teams) - self._past.keys()
        if not new:
            return
        first, last = day - timedelta(days=_DAYS_BACK), day - timedelta(days=1)
        query = UsageQuery(first, last, ("team", "day"), teams=new)
        past: dict[str, dict[date, int]] = {name: {} for name in new}
        for row in await self._readings.usage(snapshot, query):
            past[row.team or ""][date.fromisoformat(row.day or "")] = row.cost
        self._past.update(past)


def _is_dear(scope: LiveScope, settings: Alerts) -> bool:
    whole_team = scope.level == "team" and scope.model is None and scope.env is None
    return whole_team and scope.spent_today >= max(settings.spike_at_least, 1)
