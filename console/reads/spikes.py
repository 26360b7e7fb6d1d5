"""A team's day that costs much more than its days do. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from statistics import median
from typing import Final

USUAL_DAYS: Final = 14
"""How many days before a day say what is usual."""


@dataclass(frozen=True, slots=True)
class Spike:
    """`cost` of the day and of a `usual` one, in nano-dollars."""

    team: str
    day: date
    cost: int
    usual: int


def spikes(
    by_team_day: Mapping[str, Mapping[date, int]], day: date, times: float, at_least: int
) -> list[Spike]:
    """The teams whose `day` is a spike, the dearest first. Costs are nano-dollars, by team and day.

    A day is a spike if it costs `at_least` so much, and at least `times` the usual. Usual is the
    median of the 14 days before it. A day without use costs 0, but days before the team's first
    day of use do not count: in its second week a team has fewer than 14. On its very first day
    nothing is usual, and nothing is a spike. A median, so that one dear day (last week's spike)
    does not make the next look usual.
    """
    found = [
        Spike(team, day, cost, usual)
        for team, costs in by_team_day.items()
        if (cost := costs.get(day, 0)) >= max(at_least, 1)
        and (usual := _usual(costs, day)) is not None
        and cost >= times * usual
    ]
    return sorted(found, key=lambda spike: (-spike.cost, spike.team))


def _usual(costs: Mapping[date, int], day: date) -> int | None:
    used = [each for each, cost in costs.items() if cost and each < day]
    if not used:
        return None
    before = [day - timedelta(days=back) for back in range(1, USUAL_DAYS + 1)]
    return int(median(costs.get(each, 0) for each in before if each >= min(used)))
