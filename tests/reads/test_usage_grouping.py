"""Usage that is grouped, whichever way, is all of it; and a spreadsheet can be given it."""

from __future__ import annotations

import csv
import io
import json
from datetime import date
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.reads.usage import (
    DIMENSIONS,
    Dimension,
    UsageQuery,
    UsageRow,
    as_csv,
    group,
    total,
)
from ratelimit_service.ledger.daily import DailyUsage

FIRST, LAST = date(2026, 11, 1), date(2026, 11, 30)

WAYS = [way for size in range(len(DIMENSIONS) + 1) for way in permutations(DIMENSIONS, size)]
NAMES = st.sampled_from(["a", "b", "c"])
AMOUNT = st.integers(0, 2**43)
ROWS = st.lists(
    st.builds(
        DailyUsage,
        st.sampled_from(["2026-11-01", "2026-11-15", "2026-11-30"]),
        *(NAMES, NAMES, NAMES, NAMES),
        *(AMOUNT, AMOUNT, AMOUNT, AMOUNT, AMOUNT, AMOUNT),
        st.dictionaries(st.sampled_from(["budget_exceeded", "key_blocked"]), AMOUNT),
    ),
    max_size=30,
)


def query(*group_by: Dimension, **more: object) -> UsageQuery:
    return UsageQuery(FIRST, LAST, group_by, **more)  # type: ignore[arg-type]


def used(day: str = "2026-11-01", team: str = "web", **more: object) -> DailyUsage:
    names = {"project": "site", "key": "web-1", "alias": "small", **more}
    return DailyUsage(day, team, **names)  # type: ignore[arg-type]


@given(ROWS, st.sampled_from(WAYS))
def test_however_it_is_grouped_the_sums_are_those_of_all_rows(
    rows: list[DailyUsage], way: tuple[Dimension, ...]
) -> None:
    summed = total(group(rows, query(*way)))

    for name in ("requests", "input_tokens", "output_tokens", "cached_input_tokens", "errors"):
        assert getattr(summed, name) == sum(getattr(row, name) for row in rows)
    assert summed.cost == sum(row.cost for row in rows)
    for code in ("budget_exceeded", "key_blocked"):
        assert summed.refusals.get(code, 0) == sum(row.refusals.get(code, 0) for row in rows)


@given(ROWS, st.sampled_from(WAYS))
def test_no_two_rows_have_the_same_names_and_a_project_always_has_its_team(
    rows: list[DailyUsage], way: tuple[Dimension, ...]
) -> None:
    grouped = group(rows, query(*way))

    names = [(row.day, row.team, row.project, row.key, row.model) for row in grouped]
    assert len(set(names)) == len(names)
    named = {*way, *(("team",) if "project" in way else ())}
    for row in grouped:
        assert {name for name in DIMENSIONS if getattr(row, name) is not None} == named


@given(ROWS, st.frozensets(NAMES), NAMES, NAMES)
def test_what_is_left_out_is_what_was_not_asked_for_or_may_not_be_seen(
    rows: list[DailyUsage], teams: frozenset[str], key: str, model: str
) -> None:
    found = total(group(rows, query("day", teams=teams, key=key, model=model)))

    asked = [row for row in rows if row.team in teams and (row.key, row.alias) == (key, model)]
    assert found.cost == sum(row.cost for row in asked)


def test_projects_of_two_teams_that_have_the_same_name_are_two() -> None:
    rows = [used(team="web", cost=1), used(team="ops", cost=2)]

    found = group(rows, query("project"))

    assert [(row.team, row.project, row.cost) for row in found] == [
        ("ops", "site", 2),
        ("web", "site", 1),
    ]


def test_days_come_in_order_and_else_what_cost_most_comes_first() -> None:
    rows = [
        used("2026-11-02", key="c", cost=1),
        used("2026-11-01", key="b", cost=1),
        used("2026-11-01", key="a", cost=1),
        used("2026-11-02", key="d", cost=9),
    ]

    by_day = [(row.day, row.key) for row in group(rows, query("day", "key"))]
    by_key = [row.key for row in group(rows, query("key"))]

    assert [key for _, key in by_day] == ["a", "b", "d", "c"]
    assert by_key == ["d", "a", "b", "c"]


def test_days_outside_of_the_query_do_not_count() -> None:
    rows = [used("2026-10-31", cost=1), used("2026-11-01", cost=2), used("2026-12-01", cost=4)]

    assert [row.cost for row in group(rows, query("team"))] == [2]


@pytest.mark.parametrize(
    ("days", "group_by", "told"),
    [
        ((LAST, FIRST), (), "2026-11-01 is before 2026-11-30: the first day comes first"),
        ((date(2016, 1, 1), LAST), (), "more than 3660 days: no history is kept that long"),
        ((FIRST, LAST), ("day", "day"), "a dimension to group by is named twice"),
    ],
)
def test_a_query_that_makes_no_sense_says_so(
    days: tuple[date, date], group_by: tuple[Dimension, ...], told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        UsageQuery(*days, group_by)


def test_the_csv_has_exact_money_and_one_column_for_each_dimension() -> None:
    rows = [
        UsageRow(
            day="2026-11-01",
            team="web",
            project="site",
            requests=3,
            input_tokens=4,
            output_tokens=5,
            cached_input_tokens=1,
            cost=1_500_000_001,
            errors=1,
            refusals={"budget_exceeded": 2},
        )
    ]

    header, line = csv.reader(io.StringIO(as_csv(rows, ("day", "project"))))

    assert header == [
        *("team", "day", "project", "requests", "input_tokens", "output_tokens"),
        *("cached_input_tokens", "cost_usd", "errors", "refusals"),
    ]
    assert line[:9] == ["web", "2026-11-01", "site", "3", "4", "5", "1", "1.500000001", "1"]
    assert json.loads(line[9]) == {"budget_exceeded": 2}


@given(st.text(alphabet="=+-@\t\r\n\"',;ab1 ", max_size=8))
def test_no_cell_of_the_csv_is_a_formula_and_no_name_breaks_a_line(name: str) -> None:
    written = as_csv([UsageRow(key=name, cost=1)], ("key",))

    _, (cell, *_) = csv.reader(io.StringIO(written, newline=""))
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert cell.removeprefix("'") == name.removeprefix("'")
