"""Live limits say what the ledger would admit: what is used, held and left, and until when."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from console.reads.live import LiveLimit, LiveScope
from console.reads.readings import Readings
from ratelimit_service.ledger.ledger import Ledger
from ratelimit_service.ledger.types import Admitted, Refused, TakenUsage
from tests.ledger.builders import FakeClock
from tests.reads.company import WEB, claim_of, company, spend
from tollhouse.policy.compiled import Snapshot

TOKENS, COST = 1100, 1_200_000  # of a running call of `claim_of`


@pytest.fixture
def snapshot(tmp_path: Path) -> Snapshot:
    return company(tmp_path)


def shown(scopes: list[LiveScope], where: str) -> LiveScope:
    (found,) = [scope for scope in scopes if scope.where == where]
    return found


def limit(scope: LiveScope, name: str) -> LiveLimit:
    found = scope.limit(name)
    assert found is not None
    return found


async def test_a_keys_limits_say_what_is_used_held_and_left_and_when_each_resets(
    snapshot: Snapshot, ledger: Ledger, readings: Readings, clock: FakeClock
) -> None:
    await spend(ledger, snapshot, clock, "web-1", 7_000, usage=TakenUsage(30, 12))
    clock.advance(10)
    assert isinstance(await ledger.admit(claim_of(snapshot, clock, "web-1")), Admitted)
    midnight = 1_795_561_200  # 2026-11-25 in Berlin
    left_of_day = midnight - clock.second

    key = shown(await readings.key_scopes(snapshot, "web-1"), "key web-1")

    assert key.limits == [
        LiveLimit("requests_per_minute", "requests", 10, 2, 0, 8, 62.0, None),
        LiveLimit("tokens_per_minute", "tokens", 60_000, 42 + TOKENS, 0, 58_858, 62.0, None),
        LiveLimit("requests_per_day", "requests", 1000, 2, 0, 998, left_of_day, midnight),
        LiveLimit("max_parallel_requests", "calls", 5, 1, 0, 4, None, None),
        LiveLimit(
            *("daily_spend_usd", "nanousd", 5_000_000_000, 7_000, COST),
            *(5_000_000_000 - 7_000 - COST, left_of_day, midnight),
        ),
    ]
    assert (key.spent_today, key.spent_this_week, key.spent_this_month) == (7_000,) * 3
    assert (key.held, key.running, key.requests_today, key.tokens_today) == (COST, 1, 2, 42)
    assert (key.requests_last_minute, key.tokens_last_minute) == (2, 42 + TOKENS)
    assert (key.team, key.project, key.owner) == ("web", "site", "web-leads@acme.test")


async def test_weeks_and_months_reset_where_they_end_in_the_orgs_time_zone(
    snapshot: Snapshot, readings: Readings, clock: FakeClock
) -> None:
    clock.set("2026-11-29T23:30:00+00:00")  # Monday, the last of November, in Berlin

    team = shown(await readings.team_scopes(snapshot, "web"), "team web")

    week, month = limit(team, "weekly_spend_usd"), limit(team, "monthly_spend_usd")
    assert (team.periods.day, team.periods.week) == ("2026-11-30", "2026-W49")
    assert month.resets_in_seconds == 23.5 * 3600
    assert week.resets_in_seconds == (6 * 24 + 23.5) * 3600


async def test_a_minute_that_has_passed_has_nothing_to_reset(
    snapshot: Snapshot, ledger: Ledger, readings: Readings, clock: FakeClock
) -> None:
    await spend(ledger, snapshot, clock, "web-1", 7_000)
    clock.advance(62)

    key = shown(await readings.key_scopes(snapshot, "web-1"), "key web-1")

    minute = limit(key, "requests_per_minute")
    assert (minute.used, minute.left, minute.resets_in_seconds) == (0, 10, None)


async def test_what_is_left_is_what_is_admitted(
    snapshot: Snapshot, ledger: Ledger, readings: Readings, clock: FakeClock
) -> None:
    for name, admitted in (("max_parallel_requests", 5), ("requests_per_minute", 10)):
        scopes = await readings.key_scopes(snapshot, "web-1")
        assert limit(shown(scopes, "key web-1"), name).left == admitted
        for left in range(admitted, 0, -1):
            if name == "requests_per_minute":
                await spend(ledger, snapshot, clock, "web-1", 1)
            else:
                await ledger.admit(claim_of(snapshot, clock, "web-1"))
            key = shown(await readings.key_scopes(snapshot, "web-1"), "key web-1")
            assert limit(key, name).left == left - 1
        assert isinstance(await ledger.admit(claim_of(snapshot, clock, "web-1")), Refused)
        clock.advance(3600)  # leases end
        await ledger.sweep(part.slot for part in claim_of(snapshot, clock, "web-1").slots)


async def test_a_limit_that_was_lowered_below_what_is_used_has_nothing_left(
    tmp_path: Path, snapshot: Snapshot, ledger: Ledger, readings: Readings, clock: FakeClock
) -> None:
    await spend(ledger, snapshot, clock, "ops-1", 9_000_000_000)
    low = replace(
        snapshot,
        org=replace(
            snapshot.org, limits=replace(snapshot.org.limits, monthly_spend_nanousd=5_000_000_000)
        ),
    )

    (org, *_) = await readings.budgets(low, None)

    month = limit(org, "monthly_spend_usd")
    assert (month.limit, month.used, month.left) == (5_000_000_000, 9_000_000_000, 0)


async def test_the_page_of_a_key_has_no_model_that_it_may_not_call(
    tmp_path: Path, readings: Readings
) -> None:
    more = WEB.replace("model_limits:\n", "model_limits:\n  large: {requests_per_day: 50}\n", 1)
    snapshot = company(tmp_path / "more", teams__web=more)

    pages = [await readings.key_scopes(snapshot, key) for key in ("web-1", "web-3")]

    ofs = [[scope.model for scope in page if scope.model] for page in pages]
    assert ofs == [["large", "large", "small"], ["small"]]


async def test_the_pages_of_a_key_a_project_a_team_and_a_model_show_their_scopes(
    snapshot: Snapshot, readings: Readings
) -> None:
    pages = {
        "key": await readings.key_scopes(snapshot, "web-1"),
        "other key": await readings.key_scopes(snapshot, "web-3"),
        "project": await readings.project_scopes(snapshot, "web", "site"),
        "team": await readings.team_scopes(snapshot, "web"),
        "model": await readings.model_scopes(snapshot, "small"),
        "all": await readings.budgets(snapshot, None),
        "own": await readings.budgets(snapshot, {"web"}),
    }

    above = ["team web", "org acme"]
    assert {page: [scope.where for scope in scopes] for page, scopes in pages.items()} == {
        "key": [
            *("key web-1", "project site", *above, "key web-1 for model large"),
            *("team web for model small", "environment prod of team web"),
            "environment prod of org acme",
        ],
        "other key": ["key web-3", "project shop", *above, "team web for model small"],
        "project": ["project site", "key web-1", "key web-2"],
        "team": [
            *("team web", "team web for model small", "environment prod of team web"),
            *("project site", "project shop"),
        ],
        "model": ["model small", "team web for model small"],
        "all": ["org acme", "team ops", "team web"],
        "own": ["team web"],
    }


async def test_what_alerts_look_at_is_every_budget_and_every_team(
    snapshot: Snapshot, readings: Readings
) -> None:
    assert sorted(scope.where for scope in await readings.watched(snapshot)) == [
        *("environment prod of org acme", "key web-1", "org acme", "team ops", "team web"),
        "team web for model small",
    ]


async def test_what_the_ledger_cannot_know_of_a_model_without_limits_is_not_a_zero(
    snapshot: Snapshot, ledger: Ledger, readings: Readings, clock: FakeClock
) -> None:
    await ledger.admit(claim_of(snapshot, clock, "web-1"))
    await spend(ledger, snapshot, clock, "web-1", 7)

    (model, of_team) = await readings.model_scopes(snapshot, "small")

    assert (model.held, model.running, model.requests_last_minute) == (None, None, None)
    assert (model.spent_today, model.requests_today, model.model) == (7, 1, "small")
    assert (of_team.held, of_team.running, of_team.requests_last_minute) == (COST, 1, 2)


async def test_what_the_policy_does_not_have_is_a_key_error(
    snapshot: Snapshot, readings: Readings
) -> None:
    for reading in (
        readings.key_scopes(snapshot, "none"),
        readings.project_scopes(snapshot, "web", "none"),
        readings.project_scopes(snapshot, "none", "site"),
        readings.team_scopes(snapshot, "none"),
        readings.model_scopes(snapshot, "none"),
    ):
        with pytest.raises(KeyError):
            await reading


async def test_a_project_of_more_keys_than_one_script_reads_is_shown_whole(
    tmp_path: Path, ledger: Ledger, readings: Readings, clock: FakeClock
) -> None:
    keys = "".join(f"      - {{id: k-{at}, sha256: '{at:064x}'}}\n" for at in range(1000, 1150))
    team = "team: web\nprojects:\n  site:\n    allowed_models: [small]\n    keys:\n" + keys
    snapshot = company(
        tmp_path / "many", org="org: acme\ntime_zone: UTC\n", teams__web=team, teams__ops=None
    )
    await spend(ledger, snapshot, clock, "k-1149", 9)

    scopes = await readings.project_scopes(snapshot, "web", "site")

    assert [scope.name for scope in scopes[1:]] == [f"k-{at}" for at in range(1000, 1150)]
    assert [scope.spent_today for scope in scopes] == [9, *[0] * 149, 9]
