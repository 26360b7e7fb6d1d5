"""Each alert is told once: over checks, restarts, replicas, and failures of Redis and webhook."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from console.alerts.alert import crossed_budgets
from console.alerts.store import LEASE_SECONDS
from console.reads.readings import Readings
from ratelimit_service.ledger.ledger import Ledger
from ratelimit_service.ledger.store import StoreClient, open_redis
from tests.alerts.conftest import Replica, Starter, World
from tests.alerts.receiver import Receiver
from tests.ledger.builders import PATIENT
from tests.reads.company import charge, company, note
from tests.support.redis import RedisProcess
from tollhouse.policy.compiled import Snapshot

USD = 1_000_000_000
TEAM_80 = "80 % of the weekly budget of team web is spent"


@pytest.fixture
async def away_ledger(redis_process: RedisProcess, world: World) -> AsyncIterator[None]:
    """As `spent`, in a Redis that the test may stop."""
    client = open_redis(redis_process.url, timeout_seconds=PATIENT)
    ledger = Ledger(client, timeout_seconds=PATIENT, clock=world.clock)
    await charge(ledger, world.snapshot, world.clock, "web-3", 16 * USD)
    yield
    await ledger.close()


async def first_check_that_goes_well(replica: Replica) -> None:
    """A ledger's client that saw Redis away asks again after a tenth of a second."""
    async with asyncio.timeout(20):
        failures = None
        while failures != (failures := replica.value("check_failures_total")):
            await asyncio.sleep(0.05)
            await replica.loop.check()


@pytest.fixture
async def spent(ledger: Ledger, world: World) -> None:
    """16 of the 20 USD that team web has for a week; 32 % of its month's, 16 % of the org's."""
    await charge(ledger, world.snapshot, world.clock, "web-3", 16 * USD)


def raised(snapshot: Snapshot, weekly: int) -> Snapshot:
    """The policy with another weekly budget of team web."""
    team = snapshot.teams["web"]
    other = replace(team, limits=replace(team.limits, weekly_spend_nanousd=weekly))
    return replace(snapshot, teams={**snapshot.teams, "web": other})


@pytest.mark.usefixtures("spent")
async def test_what_is_true_at_the_first_start_is_told_once_and_only_the_highest_part_of_it(
    start: Starter, hook: Receiver, world: World
) -> None:
    replica = start()
    for _ in range(5):
        await replica.loop.check()
        world.clock.advance(30)

    assert hook.titles == [TEAM_80]
    assert replica.value("sent_total", "budget") == 1
    assert replica.value("pending") == 0


async def test_each_part_is_told_when_it_is_spent(
    start: Starter, hook: Receiver, world: World, ledger: Ledger
) -> None:
    replica = start()
    for _ in range(12):
        await charge(ledger, world.snapshot, world.clock, "web-3", 2 * USD - 1)
        await replica.loop.check()
        world.clock.advance(30)

    weekly = [each for each in hook.titles if "weekly" in each]
    assert weekly == [
        "59 % of the weekly budget of team web is spent",
        "89 % of the weekly budget of team web is spent",
        "the weekly budget of team web is used up",
    ]


@pytest.mark.usefixtures("spent")
async def test_a_restart_tells_nothing_again(start: Starter, hook: Receiver, world: World) -> None:
    for _ in range(3):
        await start().loop.check()
        world.clock.advance(LEASE_SECONDS + 1)

    assert hook.titles == [TEAM_80]


async def test_twenty_loops_at_once_tell_each_alert_once(  # noqa: PLR0917
    start: Starter,
    hook: Receiver,
    world: World,
    ledger: Ledger,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    teams = {f"team-{at:02}": f"{at + 16:064x}" for at in range(30)}
    world.snapshot = company(
        tmp_path / "many",
        **{
            f"teams__{name}": (
                f"team: {name}\nlimits: {{monthly_spend_usd: 10}}\nprojects:\n  site:\n"
                "    allowed_models: [small]\n    keys:\n"
                f"      - {{id: {name}-1, sha256: '{sha}', env: prod}}\n"
            )
            for name, sha in teams.items()
        },
        org="org: acme\ntime_zone: UTC\nenvironments: {prod: {}, staging: {}}\n",
    )
    for name in teams:
        await charge(ledger, world.snapshot, world.clock, f"{name}-1", 9 * USD)
    replicas = [start() for _ in range(20)]

    for _ in range(3):
        await asyncio.gather(*(replica.loop.check() for replica in replicas))
        world.clock.advance(30)

    told = {f"90 % of the monthly budget of team {name} is spent": 1 for name in teams}
    assert hook.counts == told
    assert len(hook.came) == len(told)
    by_replica = [replica.value("sent_total", "budget") or 0 for replica in replicas]
    assert sum(by_replica) == len(told)
    assert all(replica.value("pending") == 0 for replica in replicas)
    with capsys.disabled():
        print(
            f"\n20 loops at once, {len(told)} alerts: {len(hook.came)} deliveries, each alert "
            f"once, by {sum(1 for each in by_replica if each)} of the loops"
        )


@pytest.mark.usefixtures("spent")
@pytest.mark.parametrize("answer", [500, 302, 404, "close", (429, {"retry-after": "3"})])
async def test_a_delivery_that_fails_is_tried_again_until_it_is_taken(
    start: Starter, hook: Receiver, world: World, answer: int | str | tuple[int, dict[str, str]]
) -> None:
    hook.answers = [answer] * 4
    replica = start()
    waits = []
    while not hook.taken:
        await replica.loop.check()
        waits.append(replica.loop.seconds_to_next())
        world.clock.advance(waits[-1])
        assert len(waits) < 20

    await replica.loop.check()
    assert waits == [5.0, 10.0, 20.0, 30.0, 10.0, 30.0]
    assert (len(hook.came), hook.titles) == (5, [TEAM_80])
    assert replica.value("failed_total", "budget") == 4
    assert replica.value("sent_total", "budget") == 1


@pytest.mark.usefixtures("spent")
async def test_a_receiver_that_asks_to_be_left_alone_is_by_every_replica(
    start: Starter, hook: Receiver, world: World
) -> None:
    hook.answers = [(429, {"retry-after": "100"})]
    first, second = start(), start()
    for _ in range(10):
        await first.loop.check()
        await second.loop.check()
        world.clock.advance(9.9)
    assert (len(hook.came), hook.taken) == (1, [])
    assert first.value("pending") == second.value("pending") == 1

    world.clock.advance(2)
    await second.loop.check()
    await first.loop.check()

    assert (len(hook.came), hook.titles) == (2, [TEAM_80])


@pytest.mark.usefixtures("spent")
async def test_a_receiver_that_hangs_costs_a_check_no_more_than_the_deadline(
    start: Starter, hook: Receiver, world: World
) -> None:
    hook.answers = ["hang"]
    replica = start(webhook_seconds=0.2)

    await asyncio.wait_for(replica.loop.check(), 10)

    assert replica.value("failed_total", "budget") == 1
    world.clock.advance(replica.loop.seconds_to_next())
    await replica.loop.check()
    assert hook.titles == [TEAM_80]


async def test_a_webhook_that_fails_is_asked_once_a_check_however_many_alerts_there_are(
    start: Starter, hook: Receiver, world: World, ledger: Ledger
) -> None:
    await charge(ledger, world.snapshot, world.clock, "web-3", 16 * USD)
    await charge(ledger, world.snapshot, world.clock, "web-1", 3 * USD)
    hook.always = 503
    replica = start()

    for checks in range(1, 4):
        await replica.loop.check()
        assert (len(hook.came), replica.value("pending")) == (checks, 2)
        world.clock.advance(30)


async def test_a_message_that_is_always_refused_keeps_no_other_waiting(
    start: Starter, hook: Receiver, world: World, ledger: Ledger
) -> None:
    await charge(ledger, world.snapshot, world.clock, "web-3", 16 * USD)
    await charge(ledger, world.snapshot, world.clock, "web-1", 3 * USD)
    hook.always = lambda body: 400 if "team web" in body["text"] else 200
    replica = start()

    for _ in range(4):
        await replica.loop.check()
        world.clock.advance(31)

    assert hook.titles == ["60 % of the daily budget of key web-1 is spent"]
    assert replica.value("pending") == 1


@pytest.mark.usefixtures("spent")
async def test_an_alert_that_is_no_longer_true_is_given_up_and_the_log_says_so(
    start: Starter, hook: Receiver, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    hook.always = 500
    replica = start()
    await replica.loop.check()
    world.clock.advance(7 * 86_400)
    hook.always = 200

    await replica.loop.check()
    await replica.loop.check()

    assert (hook.taken, replica.value("pending")) == ([], 0)
    given_up = [each for each in caplog.records if "never delivered" in each.message]
    assert [each.fields["alert"] for each in given_up] == [  # type: ignore[attr-defined]
        "{team:web}:team:web:weekly_spend_usd:2026-W48"
    ]


@pytest.mark.usefixtures("spent")
async def test_a_claim_whose_owner_was_killed_is_taken_over_when_it_ends(
    start: Starter, hook: Receiver, world: World, readings: Readings
) -> None:
    scopes = await readings.watched(world.snapshot)
    (alert,) = crossed_budgets(scopes, (50, 80, 100))
    killed, other = start(), start()
    assert await killed.store.claim(alert) == "claimed"

    await other.loop.check()
    assert hook.came == []
    world.clock.advance(LEASE_SECONDS)
    await other.loop.check()

    assert hook.titles == [TEAM_80]


@pytest.mark.usefixtures("spent")
@pytest.mark.parametrize(
    ("weekly", "more", "told"),
    [
        (40, 16, ["80 % of the weekly budget of team web is spent"]),
        (40, 15, ["77 % of the weekly budget of team web is spent"]),  # half of it is more
        (40, 3, []),
        (30, 1, []),  # 56 % of 30, and half of it is less than what was told
        (19, 1, []),  # lowered: 89 % of 19, which is past 80 % as told
        (17, 1, ["the weekly budget of team web is used up"]),
        (20, 4, ["the weekly budget of team web is used up"]),
    ],
)
async def test_a_budget_that_was_raised_is_told_again_when_as_much_of_it_is_spent(  # noqa: PLR0917
    start: Starter,
    hook: Receiver,
    world: World,
    ledger: Ledger,
    weekly: int,
    more: int,
    told: list[str],
) -> None:
    replica = start()
    await replica.loop.check()
    hook.taken.clear()

    world.snapshot = raised(world.snapshot, weekly * USD)
    await replica.loop.check()
    await start().loop.check()
    await charge(ledger, world.snapshot, world.clock, "web-3", more * USD)
    for _ in range(2):
        await replica.loop.check()
        await start().loop.check()

    assert [each for each in hook.titles if "weekly" in each] == told


@pytest.mark.usefixtures("spent")
async def test_an_amount_that_was_told_is_not_told_as_another_budgets_part(
    start: Starter, hook: Receiver, world: World, ledger: Ledger
) -> None:
    """85 % told; the budget is raised a little: 84 % is no news."""
    await charge(ledger, world.snapshot, world.clock, "web-3", USD)
    replica = start()
    await replica.loop.check()

    world.snapshot = raised(world.snapshot, 20 * USD + USD // 5)
    await replica.loop.check()
    await start().loop.check()

    assert hook.titles == ["85 % of the weekly budget of team web is spent"]


async def test_what_running_calls_hold_is_not_spent(
    start: Starter, hook: Receiver, world: World, ledger: Ledger
) -> None:
    await charge(ledger, world.snapshot, world.clock, "web-3", 10 * USD - 1)
    replica = start()
    await replica.loop.check()
    assert hook.came == []

    await charge(ledger, world.snapshot, world.clock, "web-3", 1)
    await replica.loop.check()

    assert hook.titles == ["50 % of the weekly budget of team web is spent"]


@pytest.mark.usefixtures("spent")
async def test_a_new_period_is_told_anew(
    start: Starter, hook: Receiver, world: World, ledger: Ledger
) -> None:
    replica = start()
    await replica.loop.check()
    world.clock.set("2026-11-30T12:00:00+00:00")
    await replica.loop.check()
    assert hook.titles == [TEAM_80]

    await charge(ledger, world.snapshot, world.clock, "web-3", 16 * USD)
    await replica.loop.check()

    assert hook.counts[TEAM_80] == 2


@pytest.mark.usefixtures("spent")
async def test_marks_are_kept_until_a_day_after_their_period(
    start: Starter, store: StoreClient, world: World
) -> None:
    await start().loop.check()

    left = await store.ttl("th:alert:{team:web}:team:web:weekly_spend_usd:2026-W48")

    monday = 1_795_993_200  # 2026-11-30 in Berlin
    assert 0 <= monday - world.clock.second + 86_400 - left < 60


async def test_while_alerts_are_off_nothing_is_told_and_what_was_missed_is_when_they_are_on(
    start: Starter, hook: Receiver, world: World, ledger: Ledger
) -> None:
    await charge(ledger, world.snapshot, world.clock, "web-3", 16 * USD)
    settings, world.settings = world.settings, None
    replica = start()
    await replica.loop.check()
    assert (hook.came, replica.value("last_check_timestamp_seconds")) == ([], 0)

    world.settings = settings
    await replica.loop.check()

    assert hook.titles == [TEAM_80]
    assert replica.value("last_check_timestamp_seconds") == world.clock.second


@pytest.mark.usefixtures("away_ledger")
async def test_a_redis_that_is_away_ends_no_loop_and_is_told_in_one_line(
    start: Starter,
    hook: Receiver,
    world: World,
    redis_process: RedisProcess,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    replica = start(redis_process.url, 0.5)
    redis_process.terminate()
    for _ in range(5):
        await replica.loop.check()
        world.clock.advance(30)
    assert replica.value("check_failures_total") == 5
    assert [r.message for r in caplog.records] == ["alerts cannot be checked"]

    redis_process.start()
    await first_check_that_goes_well(replica)
    assert hook.came == []  # whoever delivered before the outage marks it first
    world.clock.advance(30)
    await replica.loop.check()

    assert hook.titles == [TEAM_80]
    assert [r.message for r in caplog.records] == [
        "alerts cannot be checked",
        "alerts are checked again",
    ]


@pytest.mark.usefixtures("away_ledger")
async def test_a_redis_that_goes_away_between_delivery_and_mark_makes_no_second_delivery(
    start: Starter, hook: Receiver, world: World, redis_process: RedisProcess
) -> None:
    replica, other = start(redis_process.url, 0.5), start(redis_process.url, 0.5)

    def goes_away(body: object) -> int:
        redis_process.terminate()
        return 200

    hook.always = goes_away
    await replica.loop.check()
    hook.always = 200
    await other.loop.check()
    assert (len(hook.came), replica.value("sent_total", "budget")) == (1, 1)
    assert replica.loop.seconds_to_next() == 1.0

    redis_process.start()
    world.clock.advance(LEASE_SECONDS + 1)
    await first_check_that_goes_well(other)  # it saw Redis away, so it waits one check
    await first_check_that_goes_well(replica)
    world.clock.advance(30)
    for _ in range(2):
        await other.loop.check()
        await replica.loop.check()

    assert hook.titles == [TEAM_80]
    assert other.value("pending") == replica.value("pending") == 0


@pytest.mark.usefixtures("spent")
async def test_a_webhook_that_is_away_is_told_in_one_line_for_each_reason(
    start: Starter, hook: Receiver, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    hook.answers = [500, 500, 503, 500, 503]
    replica = start()
    for _ in range(12):
        await replica.loop.check()
        world.clock.advance(100)

    fields = [getattr(r, "fields", {}).get("reason") for r in caplog.records]
    assert [r.message for r in caplog.records] == [
        *["alerts are not delivered"] * 2,
        "alerts are delivered",
    ]
    assert fields == ["the receiver answered 500", "the receiver answered 503", None]


@pytest.mark.usefixtures("spent")
async def test_a_fault_of_ours_ends_no_loop(
    start: Starter, hook: Receiver, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    replica = start()
    snapshot = world.snapshot
    world.snapshot = None  # type: ignore[assignment]
    for _ in range(3):
        await replica.loop.check()
    assert replica.value("check_failures_total") == 3
    assert [r.message for r in caplog.records] == ["alerts cannot be checked"]

    world.snapshot = snapshot
    await replica.loop.check()

    assert hook.titles == [TEAM_80]


@pytest.mark.usefixtures("spent")
async def test_the_loop_runs_until_it_is_stopped_and_finishes_the_delivery_under_way(
    start: Starter, hook: Receiver
) -> None:
    stop = asyncio.Event()
    running = asyncio.get_running_loop()

    def stop_meanwhile(_: object) -> int:
        running.call_soon_threadsafe(stop.set)
        return 200

    hook.always = stop_meanwhile
    replica = start()
    await asyncio.wait_for(replica.loop.run(stop), 20)

    assert hook.titles == [TEAM_80]
    await start().loop.check()
    assert hook.titles == [TEAM_80]


async def test_a_teams_spike_is_told_once_that_day(
    start: Starter, hook: Receiver, world: World, ledger: Ledger
) -> None:
    snapshot = world.snapshot = raised(world.snapshot, 10_000 * USD)
    await note(ledger, snapshot)
    for day in range(10, 24):
        world.clock.set(f"2026-11-{day}T12:00:00+00:00")
        cost = USD if day < 22 else 15 * USD
        await charge(ledger, snapshot, world.clock, "web-3", cost)
    replica = start()
    world.clock.set("2026-11-24T09:00:00+00:00")
    await charge(ledger, snapshot, world.clock, "web-3", 19 * USD)
    await replica.loop.check()
    assert [each for each in hook.titles if "usual" in each] == []

    await charge(ledger, snapshot, world.clock, "web-3", USD)
    for _ in range(3):
        await replica.loop.check()
        await start().loop.check()

    assert [each for each in hook.titles if "usual" in each] == [
        "team web spends much more than usual"
    ]
    assert replica.value("sent_total", "spike") == 1
    (told,) = [body for body in hook.taken if "usual" in body["text"]]
    assert "$20.00 on 2026-11-24 so far; its usual day costs $1.00." in told["text"]


async def test_a_message_names_what_cost_most_of_what_it_is_about_and_never_a_key(
    start: Starter, hook: Receiver, world: World, ledger: Ledger
) -> None:
    await note(ledger, world.snapshot)
    world.clock.set("2026-11-23T12:00:00+00:00")  # a Monday
    await charge(ledger, world.snapshot, world.clock, "web-3", 9 * USD)
    world.clock.set("2026-11-24T12:00:00+00:00")
    await charge(ledger, world.snapshot, world.clock, "web-1", 4 * USD)
    await charge(ledger, world.snapshot, world.clock, "ops-1", 40 * USD)

    await start().loop.check()

    told = {body["text"].partition(".")[0]: body["blocks"][1]["text"]["text"] for body in hook.came}
    lines = {
        title: [line for line in text.splitlines() if line.startswith("Most")]
        for title, text in told.items()
    }
    assert lines == {
        "65 % of the weekly budget of team web is spent": [
            "Most by keys: web-3 $9.00, web-1 $4.00",
            "Most by models: small $13.00",
        ],
        "80 % of the daily budget of key web-1 is spent": ["Most by models: small $4.00"],
        "53 % of the monthly budget of org acme is spent": [
            "Most by teams: ops $40.00, web $13.00",
            "Most by models: small $53.00",
        ],
    }
    for key in world.snapshot.keys.values():
        assert all(key.sha256 not in str(body) for body in hook.came)
