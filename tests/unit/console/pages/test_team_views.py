"""What a team's page says of its keys, and the first page of the month."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from console.actors import Actor
from console.pages.views import overview, teams
from tests.support.policy import write_tree
from tollhouse.policy.compiled import Key
from tollhouse.policy.compiler import load_snapshot

_DAY = 86_400.0


@pytest.fixture
def key(tmp_path: Path) -> Key:
    return load_snapshot(write_tree(tmp_path)).keys["web-1"]


def test_a_team_of_many_keys_shows_the_dearest(key: Key) -> None:
    many = [replace(key, id=f"k-{n:03}") for n in range(200)]
    lines = teams.key_lines(many, 0, {"k-150": 5, "k-007": 9})
    assert [line.id for line in lines[:3]] == ["k-007", "k-150", "k-000"]
    assert len(lines) == teams.MOST_KEYS


def test_while_the_ledger_is_away_nothing_is_said_to_be_spent(key: Key) -> None:
    assert teams.key_lines([key], 0, None)[0].spent is None


@pytest.mark.parametrize(
    ("day", "forecast"), [(1, None), (2, None), (3, 300_000), (15, 60_000), (30, 30_000)]
)
def test_the_forecast_is_a_straight_line_from_the_third_day_on(
    day: int, forecast: int | None
) -> None:
    assert overview.forecast(30_000, date(2026, 11, day)) == forecast


def test_keys_that_end_within_two_weeks_are_told_the_first_of_them_first(key: Key) -> None:
    keys = [replace(key, id=f"k-{days}", expires_at=days * _DAY) for days in (20, 9, 3, 13)]
    actor = Actor("ann", "viewer", None, "token")
    shown, count = overview.expiring(actor, keys, 0)
    assert [(each.id, each.when) for each in shown] == [
        ("k-3", "in 3 d"),
        ("k-9", "in 9 d"),
        ("k-13", "in 13 d"),
    ]
    assert count == 3
    elsewhere = Actor("bob", "viewer", frozenset({"ops"}), "token")
    assert overview.expiring(elsewhere, keys, 0) == ([], 0)
