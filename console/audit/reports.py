"""The reports over logs: each one pass over the files, in memory that does not grow with them.

Costs are integer nano-dollars (`console.audit.costs`), of the lines that
the ledger charges (docs/access-log.md). Every report counts the lines that are broken, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from console.audit import engine
from console.audit.engine import Database, Row
from console.audit.filters import ActionFilters, CallFilters, Condition, Span, condition
from tollhouse.decisions import ALLOWED

SPIKE_FACTOR: Final = 4
"""So many times the median hour is unusual …"""
SPIKE_LEAST: Final = 20
"""… if it is so many more, too."""

_LINE_BYTES: Final = 4096
"""More than most lines have."""


@dataclass(frozen=True, slots=True)
class Report:
    """`rows` have the `columns`, and are the first of `matched`. `broken` lines were no JSON
    objects with a time."""

    columns: tuple[str, ...]
    rows: list[Row]
    broken: int
    matched: int


_CHARGED: Final = (
    "(reservation.reservation_id IS NOT NULL AND usage IS NOT NULL"
    " AND coalesce(usage.usage_source, '') != 'none'"
    " AND NOT regexp_matches(coalesce(flags, ''), '(^|,)(UH|UF|UO|NR|NC|DF)(,|$)'))"
)
_IN, _OUT = "counted(usage.input_tokens)", "counted(usage.output_tokens)"
# As ratelimit_service.settlement.charge.
_ANSWERED: Final = (
    f"(CASE WHEN {_CHARGED} AND price IS NOT NULL THEN cost(usage, price) ELSE 0 END)"
)
_SILENT: Final = (
    "coalesce(list_sum(list_transform(tried, lambda t: CASE WHEN t.silent.price IS NULL THEN 0"
    " ELSE cost(t.silent.usage, t.silent.price) END)), 0)"
)
_LEFT: Final = f"greatest(coalesce(CAST(reservation.cost_nanousd AS HUGEINT), 0) - {_ANSWERED}, 0)"
_COST: Final = (
    f"({_ANSWERED} + CASE WHEN len(tried) > 0 AND reservation.reservation_id IS NOT NULL"
    f" THEN least({_SILENT}, {_LEFT}) ELSE 0 END)"
)


def _if_charged(what: str) -> str:
    return f"CASE WHEN {_CHARGED} THEN {what} ELSE 0 END"


CALLS: Final = {
    **{name: name for name in ("time", "team", "project")},
    "key": "key_id",
    "model": "alias",
    **{name: name for name in ("env", "decision", "status")},
    "input_tokens": _if_charged(_IN),
    "output_tokens": _if_charged(_OUT),
    "cost_nanousd": _COST,
    **{name: name for name in ("duration_ms", "client_address", "request_id", "reason")},
}

ACTIONS: Final = {
    **{name: name for name in ("seq", "time")},
    **{"actor": "actor.id", "role": "actor.role", "via": "actor.via"},
    **{name: name for name in ("action", "target", "outcome", "code", "before", "after")},
    **{name: name for name in ("client_address", "request_id", "policy_before", "policy_after")},
}


def calls(
    db: Database, paths: Sequence[Path], span: Span, filters: CallFilters, limit: int
) -> Report:
    """The newest `limit` lines, newest first. Raises Unreadable."""
    return _newest(db, paths, engine.ACCESS, CALLS, condition(span, filters), limit)


def actions(
    db: Database, paths: Sequence[Path], span: Span, filters: ActionFilters, limit: int
) -> Report:
    """The newest `limit` records, newest first. Raises Unreadable."""
    return _newest(db, paths, engine.AUDIT, ACTIONS, condition(span, filters), limit)


def _newest(  # noqa: PLR0913, PLR0917 - the parts of a query
    db: Database,
    paths: Sequence[Path],
    typed: dict[str, str],
    columns: dict[str, str],
    wanted: Condition,
    limit: int,
) -> Report:
    # Lines come in the order of time, so each would be the newest so far: kept, and thrown away.
    # Those of the files' ends say which need not be kept at all.
    with engine.ends(paths, limit * _LINE_BYTES) as last:
        found = _top(db, last, typed, columns, wanted, limit) if last else None
    if found and len(found.rows) == limit > 0:
        oldest = found.rows[-1][found.columns.index("time")]
        return _top(db, paths, typed, columns, wanted, limit, since=oldest)
    return _top(db, paths, typed, columns, wanted, limit)


def _top(  # noqa: PLR0913, PLR0917 - the parts of a query
    db: Database,
    paths: Sequence[Path],
    typed: dict[str, str],
    columns: dict[str, str],
    wanted: Condition,
    limit: int,
    since: str = "",
) -> Report:
    """Of all that is wanted, the number, and the newest lines, none of which is older than that."""
    table, files = engine.source(paths, typed)
    test, values = wanted
    order = "struct_pack(time := time, seq := seq)" if "seq" in typed else "time"
    packed = ", ".join(f'"{name}" := "{name}"' for name in typed)
    newest = (
        "CREATE OR REPLACE TEMP TABLE newest AS"  # noqa: S608 - names of ours
        f" SELECT count(*) FILTER (time IS NULL) AS broken, count(*) FILTER ({test}) AS matched,"
        f" arg_max(struct_pack({packed}), {order}, {int(limit)})"
        f" FILTER (time >= ? AND {test}) AS lines FROM {table}"
    )
    lines = "(SELECT unnest(line) FROM (SELECT unnest(lines) AS line FROM newest))"
    db.execute(newest, [*values, since, *values, *files])
    counted = db.execute("SELECT broken, matched FROM newest").fetchone()
    # Not by `columns`: some of them have names of their own.
    by = "time DESC, seq DESC" if "seq" in typed else "time DESC, request_id"
    selected = f"SELECT {', '.join(columns.values())} FROM {lines} ORDER BY {by}"  # noqa: S608
    rows = db.execute(selected).fetchall()
    broken, matched = counted or (0, 0)
    return Report(tuple(columns), rows, broken, matched)


def all_calls(
    db: Database, paths: Sequence[Path], span: Span, filters: CallFilters
) -> Iterator[Row]:
    """Every line, in no order, as rows of `CALLS`; a row of None where a line is broken."""
    table, files = engine.source(paths, engine.ACCESS)
    test, values = condition(span, filters)
    query = f"SELECT {', '.join(CALLS.values())} FROM {table} WHERE time IS NULL OR ({test})"  # noqa: S608 - columns of ours
    yield from engine.stream(db.execute(query, [*files, *values]))


WHO: Final = (
    *("team", "project", "key", "model", "first", "last", "calls"),
    *("input_tokens", "output_tokens", "cost_nanousd"),
)


def who(
    db: Database, paths: Sequence[Path], span: Span, filters: CallFilters, limit: int
) -> Report:
    """Who used which model when: calls that were sent to a provider, the dearest first."""
    select = f"""team, project, key_id, alias, min(time), max(time), count(*),
        sum({_if_charged(_IN)}), sum({_if_charged(_OUT)}), sum({_COST}) AS cost"""
    groups, order = "team, project, key_id, alias", "cost DESC, count(*) DESC"
    wanted = condition(span, filters, "attempts > 0")
    return _grouped(db, paths, WHO, select, groups, order, wanted, limit)


DENIALS: Final = ("code", "team", "key", "model", "first", "last", "count", "reason")


def denials(
    db: Database, paths: Sequence[Path], span: Span, filters: CallFilters, limit: int
) -> Report:
    """What callers got instead of an answer, the most frequent first; `reason` is the last one."""
    groups = "decision, team, key_id, alias"
    select = f"{groups}, min(time), max(time), count(*), arg_max(reason, time)"
    wanted = condition(span, filters, f"decision != '{ALLOWED}'")
    return _grouped(db, paths, DENIALS, select, groups, "count(*) DESC", wanted, limit)


def _grouped(  # noqa: PLR0913, PLR0917 - the parts of a query
    db: Database,
    paths: Sequence[Path],
    columns: tuple[str, ...],
    select: str,
    groups: str,
    order: str,
    wanted: Condition,
    limit: int,
) -> Report:
    """Broken lines are a group of their own, which comes first."""
    table, files = engine.source(paths, engine.ACCESS)
    test, values = wanted
    query = (
        f"SELECT time IS NULL, count(*), count(*) OVER (), {select} FROM {table}"  # noqa: S608
        f" WHERE time IS NULL OR ({test}) GROUP BY time IS NULL, {groups}"
        f" ORDER BY time IS NULL DESC, {order}, {groups} LIMIT {int(limit) + 1}"
    )
    rows = db.execute(query, [*files, *values]).fetchall()
    broken = rows.pop(0)[1] if rows and rows[0][0] else 0
    matched = (rows[0][2] if rows else 0) - (1 if broken else 0)
    return Report(columns, [row[3:] for row in rows[:limit]], broken, max(matched, 0))


SPIKES: Final = ("hour", "team", "key", "what", "count", "median")

_HOURS: Final = """
    CREATE OR REPLACE TEMP TABLE hours AS
    SELECT time IS NULL AS broken, team, key_id AS key, time[:13] || ':00:00Z' AS hour,
           count(*) AS calls, count(*) FILTER (decision != '{allowed}') AS denials
    FROM {table} WHERE time IS NULL OR ({test}) GROUP BY ALL
"""
_UNUSUAL: Final = """
    WITH subjects AS (
        SELECT hour, team, key, calls, denials FROM hours WHERE NOT broken AND key IS NOT NULL
        UNION ALL
        SELECT hour, team, NULL, sum(calls), sum(denials) FROM hours
        WHERE NOT broken AND team IS NOT NULL GROUP BY hour, team
    ), counted AS (
        SELECT hour, team, key, 'calls' AS what, calls AS n FROM subjects
        UNION ALL SELECT hour, team, key, 'denials', denials FROM subjects
    ), compared AS (
        SELECT *, quantile_disc(n, 0.5) OVER (PARTITION BY team, key, what) AS usual FROM counted
    )
    SELECT count(*) OVER (), hour, team, key, what, CAST(n AS BIGINT), CAST(usual AS BIGINT)
    FROM compared WHERE n >= {factor} * usual AND n - usual >= {least}
    ORDER BY n - usual DESC, hour DESC, team, key, what LIMIT {limit}
"""


def spikes(
    db: Database, paths: Sequence[Path], span: Span, filters: CallFilters, limit: int
) -> Report:
    """Hours in which a key, or a team (`key` None), has unusually many calls or denials, those that
    stand out most first.

    Unusual are at least `SPIKE_FACTOR` times its median hour, and `SPIKE_LEAST` more. The median is
    over the hours of the span in which it made any call, the lower one of two in the middle.
    """
    table, files = engine.source(paths, engine.ACCESS)
    test, values = condition(span, filters)
    hours = _HOURS.format(table=table, test=test, allowed=ALLOWED)
    db.execute(hours, [*files, *values])
    counted = db.execute("SELECT sum(calls) FROM hours WHERE broken").fetchone()
    unusual = _UNUSUAL.format(factor=SPIKE_FACTOR, least=SPIKE_LEAST, limit=int(limit))
    rows = db.execute(unusual).fetchall()
    broken = int(counted[0] or 0) if counted else 0
    return Report(SPIKES, [row[1:] for row in rows], broken, rows[0][0] if rows else 0)
