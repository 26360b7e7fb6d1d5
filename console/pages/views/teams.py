"""Teams and projects as pages show them. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from console.actors import Actor
from console.pages.views import links, numbers, sums
from console.pages.views.charts import Bar, BarChart, Ranked, ranked, sparkline
from console.pages.views.known import Known
from console.pages.views.overview import Budget, budget, marks_of
from console.pages.views.sums import Span
from console.reads.live import LiveScope
from console.reads.usage import UsageRow
from tollhouse.policy.compiled import Key, Snapshot, Team
from tollhouse.policy.lifetimes import KeyState, state_of

MOST_KEYS: Final = 50
"""Of one table; the list of keys has pages."""


@dataclass(frozen=True, slots=True)
class TeamRow:
    """A line of the list of teams; `budget` and `days` are None while the ledger is away."""

    name: str
    href: str
    owner: str | None
    projects: int
    keys: int
    budget: Budget | None
    days: tuple[Bar, ...]
    days_words: str


@dataclass(frozen=True, slots=True)
class KeyLine:
    """A key in a table; `spent` is of this month, None while the ledger is away."""

    id: str
    href: str
    project: str
    env: str | None
    state: KeyState
    owner: str | None
    expires: str
    spent: int | None


@dataclass(frozen=True, slots=True)
class ProjectLine:
    """A project in its team's table."""

    name: str
    href: str
    keys: int
    spent: int | None
    budget: Budget | None


@dataclass(frozen=True, slots=True)
class Spending:
    """What a team or a project used: 30 days, and the month by what is in it."""

    chart: BarChart
    requests: BarChart
    parts: list[Ranked]
    models: list[Ranked]
    keys: dict[str, int]
    spent: int
    refused: list[Ranked]


def team_rows(
    actor: Actor,
    snapshot: Snapshot,
    scopes: Sequence[LiveScope] | None,
    rows: Sequence[UsageRow] | None,
    span: Span,
) -> list[TeamRow]:
    """By name; `rows` are by day and team."""
    marks = marks_of(snapshot)
    budgets = {each.name: budget(each, span.last, marks) for each in scopes or () if each.team}
    keys = Counter(key.team for key in snapshot.keys.values())
    costs = Counter({(row.team, row.day): row.cost for row in rows or ()})
    found = []
    for name, team in sorted(snapshot.teams.items()):
        if actor.sees(name):
            amounts = [costs[name, day] for day in span.days]
            found.append(_team_row(team, keys[name], budgets.get(name), amounts))
    return found


def _team_row(team: Team, keys: int, month: Budget | None, amounts: Sequence[int]) -> TeamRow:
    return TeamRow(
        name=team.name,
        href=links.team(team.name),
        owner=team.owner,
        projects=len(team.projects),
        keys=keys,
        budget=month,
        days=sparkline(amounts, numbers.usd),
        days_words=f"{numbers.usd(sum(amounts))} in {len(amounts)} days",
    )


def spending(
    known: Known,
    rows: Sequence[UsageRow],
    parts: Sequence[tuple[str, int, str | None]],
    span: Span,
) -> Spending:
    """`rows` are by day, key, project and model from `span` on, or from the month's
    first day; `parts` are what the month went into."""
    month = span.month(rows)
    shown = sums.since(rows, span.first)
    models = sums.by(month, "model", sums.cost)
    refused = sums.refusals_by_code(shown)
    return Spending(
        chart=sums.spend_chart("spend", shown, span),
        requests=sums.request_chart("requests", shown, span),
        parts=ranked(parts, numbers.usd),
        models=ranked([(name, n, known.model(name)) for name, n in models.items()], numbers.usd),
        keys=dict(sums.by(month, "key", sums.cost)),
        spent=sum(row.cost for row in month),
        refused=ranked([(code, n, None) for code, n in refused.items()], numbers.count),
    )


def key_lines(keys: Iterable[Key], now: float, spent: dict[str, int] | None) -> list[KeyLine]:
    """In the order of what they cost, then of ids; not more than `MOST_KEYS`."""
    lines = [key_line(key, now, None if spent is None else spent.get(key.id, 0)) for key in keys]
    return sorted(lines, key=lambda line: (-(line.spent or 0), line.id))[:MOST_KEYS]


def key_line(key: Key, now: float, spent: int | None) -> KeyLine:
    """As the policy says it."""
    owner = key.metadata.get("owner")
    return KeyLine(
        id=key.id,
        href=links.key(key.id),
        project=key.project,
        env=key.env,
        state=state_of(key, now),
        owner=None if owner is None else str(owner),
        expires="never" if key.expires_at is None else numbers.until(key.expires_at, now),
        spent=spent,
    )


def project_lines(
    snapshot: Snapshot,
    team: str,
    scopes: Sequence[LiveScope] | None,
    spent: dict[str, int] | None,
    today: date,
) -> list[ProjectLine]:
    """Of one team, by name."""
    live = {s.name: s for s in scopes or () if s.level == "project" and not (s.model or s.env)}
    counts = Counter(k.project for k in snapshot.keys.values() if k.team == team)
    return [
        ProjectLine(
            name=name,
            href=links.project(team, name),
            keys=counts[name],
            spent=None if spent is None else spent.get(name, 0),
            budget=budget(live[name], today, ()) if name in live else None,
        )
        for name in sorted(snapshot.teams[team].projects)
    ]
