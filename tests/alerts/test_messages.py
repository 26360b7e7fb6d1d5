"""What is told reads well, fits into Slack's limits, and mentions nobody; waits grow and end."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.alerts.alert import Alert, crossed_budgets
from console.alerts.message import Top, message, top
from console.alerts.waits import wait_seconds
from console.reads.live import LiveLimit, LiveScope
from console.reads.usage import Dimension, UsageRow
from ratelimit_service.ledger.periods import Periods

USD = 1_000_000_000
DECEMBER = 1_796_079_600  # 2026-12-01T00:00 in Berlin
TIME_ZONE = "Europe/Berlin"


def scope(used: int, limit: int = 500 * USD, **more: Any) -> LiveScope:
    """Team marketing, with a monthly budget."""
    month = LiveLimit("monthly_spend_usd", "nanousd", limit, used, 0, 0, 600.0, DECEMBER)
    made = LiveScope(
        level="team",
        name="marketing",
        team="marketing",
        project=None,
        model=None,
        env=None,
        where="team marketing",
        owner="leads@acme.test",
        limits=[month],
        periods=Periods("2026-11-24", "2026-W48", "2026-11"),
        spent_today=0,
        spent_this_week=0,
        spent_this_month=used,
        held=0,
        requests_last_minute=0,
        tokens_last_minute=0,
        requests_today=0,
        tokens_today=0,
        running=0,
    )
    return replace(made, **more)


def alert(used: int, **more: Any) -> Alert:
    (found,) = crossed_budgets([scope(used, **more)], (50, 80, 100))
    return found


def text_of(body: dict[str, Any]) -> str:
    return "\n".join(block["text"]["text"] for block in body["blocks"])


def test_a_message_says_whose_budget_how_much_until_when_and_whom_to_ask() -> None:
    tops: dict[Dimension, Top] = {"key": [("web-1", 400 * USD), ("web-2", 12_345_678_901)]}

    body = message(alert(412_345_678_901), TIME_ZONE, tops)

    assert body["text"] == (
        "82 % of the monthly budget of team marketing is spent. $412.34 of $500.00 (82 %) in "
        "2026-11. It resets on 2026-12-01 at 00:00 (Europe/Berlin)."
    )
    assert text_of(body).splitlines() == [
        ":warning: *82 % of the monthly budget of team marketing is spent*",
        "$412.34 of $500.00 (82 %) in 2026-11. It resets on 2026-12-01 at 00:00 (Europe/Berlin).",
        "Most by keys: web-1 $400.00, web-2 $12.34",
        "Ask: leads@acme.test",
    ]


def test_a_budget_that_is_used_up_says_that_calls_are_refused() -> None:
    told = text_of(message(alert(500 * USD), TIME_ZONE, {}))

    assert told.startswith(":rotating_light: *the monthly budget of team marketing is used up*")
    assert "Calls are refused until then." in told


@pytest.mark.parametrize(("nano", "shown"), [(7_000, "$0.000007"), (1_999_999_999, "$1.99")])
def test_money_is_rounded_down_to_cents_where_there_are_dollars(nano: int, shown: str) -> None:
    assert f"{shown} of" in message(alert(nano, limit=2 * nano), TIME_ZONE, {})["text"]


def test_whoever_has_no_owner_is_sent_to_the_operator() -> None:
    assert "Ask: the gateway operator" in text_of(
        message(alert(500 * USD, owner=None), TIME_ZONE, {})
    )


@given(st.text(max_size=5000), st.text(max_size=5000))
def test_no_name_is_a_mention_or_a_link_and_no_block_is_too_long_for_slack(
    owner: str, name: str
) -> None:
    told = alert(500 * USD, owner=owner, where=f"team {name[:200]}")

    body = message(told, TIME_ZONE, {"key": [(name, USD)]})

    for text in (body["text"], *(block["text"]["text"] for block in body["blocks"])):
        assert "<" not in text and ">" not in text
        assert len(text) <= 3000


def test_a_message_that_is_too_long_for_slack_is_cut() -> None:
    body = message(alert(500 * USD, owner="<" * 5000), TIME_ZONE, {})

    assert 2000 < len(body["blocks"][1]["text"]["text"]) <= 3000


@given(
    st.integers(0, 2**53),
    st.integers(1, 2**53),
    st.lists(st.integers(1, 200), max_size=5),
)
def test_the_highest_part_that_is_spent_is_told_and_no_other(
    used: int, limit: int, percents: list[int]
) -> None:
    found = crossed_budgets([scope(used, limit)], percents)

    reached = {each for each in percents if used * 100 >= limit * each}
    assert [each.percent for each in found] == ([max(reached)] if used and reached else [])
    for each in found:
        assert {each.percent, *each.lower} == reached
        assert (each.threshold - 1) * 100 < limit * each.percent <= each.threshold * 100
        assert each.threshold <= used


def test_a_budget_of_nothing_is_no_news_until_something_is_spent() -> None:
    assert crossed_budgets([scope(0, 0)], (50, 100)) == []
    (used_up,) = crossed_budgets([scope(1, 0)], (50, 100))
    assert "is used up" in message(used_up, TIME_ZONE, {})["text"]


def test_alerts_of_two_scopes_budgets_or_periods_are_never_taken_for_one_another() -> None:
    variants = [
        scope(500 * USD),
        scope(500 * USD, model="small"),
        scope(500 * USD, env="small"),
        scope(500 * USD, level="project"),
        scope(500 * USD, level="key"),
        scope(500 * USD, name="other", team="other"),
        scope(500 * USD, level="project", team="other"),
        scope(500 * USD, level="org", team=None),
        scope(500 * USD, level="alias", team=None, model="marketing"),
        scope(500 * USD, periods=Periods("2026-12-01", "2026-W49", "2026-12")),
        scope(500 * USD, limits=[replace(scope(500 * USD).limits[0], name="daily_spend_usd")]),
    ]

    found = {each.identity for each in crossed_budgets(variants, (50,))}

    assert len(found) == len(variants)


def test_the_dearest_three_are_named_and_nothing_that_cost_nothing() -> None:
    costs = {"a": 1, "b": 5, "c": 5, "d": 7, "e": 0}
    rows = [UsageRow(key=key, cost=cost) for key, cost in costs.items()]

    assert top(rows, "key") == [("d", 7), ("b", 5), ("c", 5)]
    assert top(rows[-1:], "key") == []


@given(st.integers(1, 10_000), st.floats(0, 1), st.none() | st.floats(0, 1e12))
def test_waits_grow_from_seconds_to_minutes_and_no_receiver_silences_alerts_for_long(
    failures: int, chance: float, asked: float | None
) -> None:
    wait = wait_seconds(failures, asked, chance)

    assert 2.5 <= wait <= 3600
    assert wait >= min(asked or 0, 3600)
    if not asked:
        assert wait <= min(5 * 2 ** min(failures - 1, 10), 600)
        assert wait >= wait_seconds(max(failures - 1, 1), None, chance) or failures == 1
