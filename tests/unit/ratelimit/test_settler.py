"""The settler on a real Redis: nothing is lost while it is away, nothing is charged twice."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from ratelimit_service import parked
from ratelimit_service import settler as settler_module
from ratelimit_service.ledger.errors import LedgerError, LedgerUnavailable
from ratelimit_service.ledger.ids import new_reservation_id
from ratelimit_service.ledger.ledger import Ledger
from ratelimit_service.ledger.periods import periods_at
from ratelimit_service.ledger.store import open_redis
from ratelimit_service.ledger.types import Admitted, Settlement, SettleOutcome, Slot, Withdrawal
from ratelimit_service.metrics import Metrics
from ratelimit_service.replica import Replica
from ratelimit_service.settlement import ESTIMATED, NONE, REPORTED, Entry
from ratelimit_service.settler import Settler, running
from ratelimit_service.spool import SpoolFolder
from tests.ledger.builders import FakeClock
from tests.ledger.test_cluster import slot_on
from tests.ledger.test_outage import written
from tests.support.redis import RedisCluster, RedisProcess, redis_cluster
from tests.unit.ratelimit.builders import (
    USED,
    claim_of,
    entry,
    sample,
    team_spend,
    until,
    until_spend,
    write_policy,
)
from tollhouse.money import Usage
from tollhouse.policy.source import PolicyDirectory
from tollhouse.policy.watch import PolicyHolder

__all__ = ["redis_cluster"]

COST = 450_000  # of one `entry`


@dataclass
class Office:
    """A settler and what it counts."""

    settler: Settler
    registry: CollectorRegistry
    holder: PolicyHolder
    ledger: Ledger

    def settled(self, outcome: str, source: str = REPORTED) -> float:
        labels = {"outcome": outcome, "usage_source": source}
        return sample(self.registry, "tollhouse_settlements_total", **labels)

    def waiting(self) -> float:
        return sample(self.registry, "tollhouse_settlements_waiting")

    def failures(self) -> float:
        return sample(self.registry, "tollhouse_redis_errors_total", operation="settle")

    def tokens(self, kind: str, team: str = "web") -> float:
        labels = {"team": team, "alias": "small", "gen_ai_token_type": kind}
        return sample(self.registry, "gen_ai_client_token_usage_total", **labels)

    async def all_settled(self) -> None:
        await until(lambda: self.waiting() == 0, "settlement of all that waits")

    async def reserve(self) -> str:
        """A reservation such as admission makes; its id."""
        asked = claim_of(self.holder.current)
        assert isinstance(await self.ledger.admit(asked), Admitted)
        return asked.reservation_id


@pytest.fixture
def open_office(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Office]:
    monkeypatch.setattr(settler_module, "_RETRY_SECONDS", 0.01)

    def at(ledger: Ledger, replica: Replica | None = None) -> Office:
        registry = CollectorRegistry()
        holder = PolicyHolder(PolicyDirectory(write_policy(tmp_path / "policies")))
        settler = Settler(holder, ledger, Metrics(registry), replica or Replica())
        return Office(settler, registry, holder, ledger)

    return at


@pytest.fixture
def office(open_office: Callable[..., Office], ledger: Ledger) -> Office:
    """At a Redis that is well."""
    return open_office(ledger)


@pytest.fixture
def shaken(open_office: Callable[..., Office], fragile: Ledger) -> Office:
    """At `redis_process`."""
    return open_office(fragile)


def messages(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.levelno == level]


async def test_an_entry_replaces_its_reservation_by_what_the_call_took(
    office: Office, clock: FakeClock
) -> None:
    id_ = await office.reserve()
    async with running(office.settler):
        office.settler.take([entry(reservation_id=id_)])
        await office.all_settled()
        assert await team_spend(office.ledger, clock) == (COST, 0)
    assert office.settled("settled") == 1


async def test_what_is_charged_is_shown_to_prometheus(office: Office) -> None:
    async with running(office.settler):
        office.settler.take([entry(usage=Usage(1_000, 500, 200)), entry(usage_source=ESTIMATED)])
    cost = sample(office.registry, "tollhouse_cost_usd_total", team="web", alias="small")
    assert cost == pytest.approx((800 * 150 + 200 * 75 + 500 * 600 + COST) / 1e9)
    assert [office.tokens(kind) for kind in ("input", "output", "input_cached")] == [
        2_000,
        1_000,
        200,
    ]
    assert (office.settled("unknown"), office.settled("unknown", ESTIMATED)) == (1, 1)


async def test_an_entry_that_comes_again_is_charged_and_shown_once(
    office: Office, clock: FakeClock
) -> None:
    again = entry(reservation_id=await office.reserve())
    async with running(office.settler):
        office.settler.take([again, again])
        office.settler.take([again])
    assert (office.settled("settled"), office.settled("duplicate")) == (1, 2)
    assert await team_spend(office.ledger, clock) == (COST, 0)
    assert office.tokens("input") == 1_000


async def test_a_call_that_was_never_sent_is_released_at_no_cost(
    office: Office, clock: FakeClock
) -> None:
    id_ = await office.reserve()
    async with running(office.settler):
        office.settler.take([entry(reservation_id=id_, reached_provider=False)])
    assert office.settled("settled", NONE) == 1
    assert await team_spend(office.ledger, clock) == (0, 0)


async def test_more_entries_than_a_batch_are_settled_in_batches(
    office: Office, clock: FakeClock
) -> None:
    async with running(office.settler):
        office.settler.take([entry() for _ in range(300)])
        assert office.waiting() == 300
    assert (office.waiting(), office.settled("unknown")) == (0, 300)
    assert await team_spend(office.ledger, clock) == (300 * COST, 0)
    assert sample(office.registry, "tollhouse_settlement_duration_seconds_count") == 2


@pytest.mark.parametrize("bad", [{"slots": ("nowhere",)}, {"reservation_id": "not one of ours"}])
async def test_an_entry_that_cannot_be_settled_holds_up_no_other(
    office: Office,
    clock: FakeClock,
    caplog: pytest.LogCaptureFixture,
    bad: dict[str, str],
) -> None:
    async with running(office.settler):
        office.settler.take([entry(), entry(**bad), entry()])
        office.settler.take([entry(**bad)])
        await office.all_settled()
        office.settler.take([entry()])
        await office.all_settled()
    assert await team_spend(office.ledger, clock) == (3 * COST, 0)
    (first, second) = messages(caplog, logging.ERROR)
    assert first == second
    assert first.startswith("an access-log entry cannot be settled: a ")


async def test_absurd_usage_is_charged_and_settlement_goes_on(office: Office) -> None:
    async with running(office.settler):
        office.settler.take([entry(usage=Usage(2**53, 2**53)), entry()])
    assert office.settled("unknown") == 2


async def test_entries_wait_while_redis_is_down_and_are_charged_once_when_it_is_back(
    shaken: Office, redis_process: RedisProcess, clock: FakeClock
) -> None:
    redis_process.kill()
    late = [entry() for _ in range(3)]
    async with running(shaken.settler):
        shaken.settler.take(late)
        await until(lambda: shaken.failures() >= 2, "a second attempt")
        assert (shaken.waiting(), shaken.settled("unknown")) == (3, 0)
        redis_process.start()
        await shaken.all_settled()
        shaken.settler.take(late)
        await shaken.all_settled()
        assert await team_spend(shaken.ledger, clock) == (3 * COST, 0)
    assert (shaken.settled("unknown"), shaken.settled("duplicate")) == (3, 3)


async def test_what_redis_may_have_done_while_it_hung_is_not_done_twice(
    shaken: Office, redis_process: RedisProcess, clock: FakeClock
) -> None:
    async with running(shaken.settler):
        shaken.settler.take([entry()])  # from here on Redis knows the script
        await shaken.all_settled()
        redis_process.send(signal.SIGSTOP)
        shaken.settler.take([entry(), entry()])
        await until(lambda: shaken.failures() >= 1, "a first attempt")
        assert shaken.waiting() == 2
        redis_process.send(signal.SIGCONT)
        await shaken.all_settled()
    await until_spend(shaken.ledger, clock, (3 * COST, 0))
    assert sum(map(shaken.settled, ("unknown", "duplicate"))) == 3


async def test_entries_that_came_during_an_outage_settle_in_the_order_they_came(
    shaken: Office, redis_process: RedisProcess, clock: FakeClock
) -> None:
    redis_process.kill()
    id_ = new_reservation_id()
    async with running(shaken.settler):
        shaken.settler.take([entry(reservation_id=id_)])
        await until(shaken.failures, "a first attempt")
        shaken.settler.take([entry(reservation_id=id_, usage=Usage(7, 7))])
        redis_process.start()
        await shaken.all_settled()
    assert await team_spend(shaken.ledger, clock) == (COST, 0)


async def test_beyond_its_bound_the_queue_drops_what_comes_and_says_so(
    shaken: Office,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    redis_process: RedisProcess,
) -> None:
    monkeypatch.setattr(parked, "_MOST_IN_MEMORY", 3)
    redis_process.kill()
    async with running(shaken.settler):
        shaken.settler.take([entry(), entry()])
        await until(shaken.failures, "a first attempt")
        assert (shaken.waiting(), shaken.settled("dropped", NONE)) == (2, 0)
        for count, dropped_by_now in ((3, 2), (1, 3)):
            shaken.settler.take([entry() for _ in range(count)])
            await until(
                lambda by_now=dropped_by_now: shaken.settled("dropped", NONE) == by_now, "a drop"
            )
            assert shaken.waiting() == 3
    fields = [one.fields for one in caplog.records if hasattr(one, "fields")]
    dropped = [each["dropped"] for each in fields if "dropped" in each]
    assert dropped == [2, 1]
    assert messages(caplog, logging.ERROR) == [
        "too many entries wait for Redis: settle the rest from the access log"
    ] * 2 + ["stopped with entries that Redis did not take: settle them from the access log"]


async def test_a_service_that_stops_settles_first_what_has_come(
    office: Office, clock: FakeClock
) -> None:
    async with running(office.settler):
        office.settler.take([entry(), entry()])
    assert await team_spend(office.ledger, clock) == (2 * COST, 0)


async def test_a_service_that_stops_while_redis_is_away_says_how_many_entries_are_left(
    shaken: Office, redis_process: RedisProcess, caplog: pytest.LogCaptureFixture
) -> None:
    redis_process.kill()
    async with asyncio.timeout(10), running(shaken.settler):
        shaken.settler.take([entry(), entry()])
    (left,) = [one for one in caplog.records if one.levelno == logging.ERROR]
    assert left.getMessage() == (
        "stopped with entries that Redis did not take: settle them from the access log"
    )
    assert left.__dict__["fields"] == {"entries": 2}


async def test_a_settler_with_nothing_to_do_stops_at_once(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(office.settler):
        pass
    assert caplog.records == []


async def test_an_entry_that_redis_refuses_is_counted_and_holds_up_no_other(
    shaken: Office,
    redis_process: RedisProcess,
    clock: FakeClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with open_redis(redis_process.url) as client:
        await client.set("th:{alias:odd}:holds", "not a hash")
    bad = entry(slots=("alias:odd|alias",))
    async with running(shaken.settler):
        shaken.settler.take([entry(), bad, entry()])
        await shaken.all_settled()
    assert await team_spend(shaken.ledger, clock) == (2 * COST, 0)
    assert (shaken.settled("failed"), shaken.tokens("input")) == (1, 2_000)
    (message,) = messages(caplog, logging.ERROR)
    assert message.startswith("an access-log entry cannot be settled; when the cause is mended")


async def test_what_redis_did_too_late_to_say_so_is_shown_to_prometheus_all_the_same(
    shaken: Office, redis_process: RedisProcess
) -> None:
    async with running(shaken.settler):
        shaken.settler.take([entry()])  # from here on Redis knows the script
        await shaken.all_settled()
        redis_process.send(signal.SIGSTOP)
        shaken.settler.take([entry(), entry()])
        await until(lambda: shaken.failures() >= 1, "a first attempt")
        redis_process.send(signal.SIGCONT)
        await shaken.all_settled()
    assert shaken.tokens("input") == 3_000


@pytest.fixture
def spool(tmp_path: Path) -> SpoolFolder:
    return SpoolFolder(tmp_path / "state")


async def test_what_redis_does_not_take_waits_on_disk_and_settles_when_it_is_back(
    open_office: Callable[..., Office],
    fragile: Ledger,
    redis_process: RedisProcess,
    clock: FakeClock,
    spool: SpoolFolder,
) -> None:
    at = open_office(fragile, Replica(parked=spool))
    redis_process.kill()
    async with running(at.settler):
        at.settler.take([entry() for _ in range(3)])
        await until(lambda: spool.waiting == 3, "the entries to be on disk")
        at.settler.take([entry() for _ in range(400)])
        await until(lambda: spool.waiting == 403, "the others to be on disk")
        assert at.waiting() == 403
        redis_process.start()
        await at.all_settled()
        assert (spool.waiting, at.settled("unknown")) == (0, 403)
        await until_spend(fragile, clock, (403 * COST, 0))
        at.settler.take([entry()])
        await at.all_settled()
    assert (spool.waiting, at.settled("unknown")) == (0, 404)


async def test_what_waits_on_disk_when_the_service_ends_is_settled_by_the_next_one_once(
    open_office: Callable[..., Office],
    fragile: Ledger,
    redis_process: RedisProcess,
    clock: FakeClock,
    tmp_path: Path,
) -> None:
    spool = SpoolFolder(tmp_path / "state")
    ended = [entry() for _ in range(5)]
    at = open_office(fragile)
    async with running(at.settler):
        at.settler.take(ended[:1])  # settled, and found again on disk below
        await at.all_settled()
    await written(redis_process)
    redis_process.kill()
    at = open_office(fragile, Replica(parked=spool))
    async with running(at.settler):
        at.settler.take(ended)
    assert spool.waiting == 5
    spool.close()

    redis_process.start()
    await until_spend(fragile, clock, (COST, 0))
    again = SpoolFolder(tmp_path / "state")
    at = open_office(fragile, Replica(parked=again))
    async with running(at.settler):
        await at.all_settled()
    assert (at.settled("unknown"), at.settled("duplicate"), again.waiting) == (4, 1, 0)
    await until_spend(fragile, clock, (5 * COST, 0))


@pytest.mark.parametrize("on_disk", [False, True])
async def test_what_waits_for_one_master_holds_up_nothing_that_waits_for_another(
    open_office: Callable[..., Office],
    redis_cluster: RedisCluster,
    clock: FakeClock,
    tmp_path: Path,
    *,
    on_disk: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """However much waits in front of it."""
    ledger = Ledger(open_redis(redis_cluster.url), clock=clock)
    await ledger.ping()
    replica = Replica(parked=SpoolFolder(tmp_path / "state")) if on_disk else Replica()
    at = open_office(ledger, replica)
    away, back = (slot_on(master, "team").name for master in (2, 1))

    def ended(team: str, count: int) -> list[Entry]:
        return [replace(entry(slots=(f"team:{team}|team",)), team=team) for _ in range(count)]

    for port in redis_cluster.ports:
        redis_cluster.kill_node(port)
    async with running(at.settler):
        at.settler.take([*ended(away, 600), *ended(back, 10)])
        await until(lambda: replica.parked.waiting == 610, "all to be parked")
        dead = redis_cluster.port_of(f"team:{away}")
        for port in redis_cluster.ports:
            if port != dead:
                redis_cluster.start_node(port)
        await until(lambda: replica.parked.waiting == 600, "what its master is back for", 30)
        waited = replica.parked.waiting
        redis_cluster.start_node(dead)
        await until(lambda: at.waiting() == 0, "all else", 30)
    month = periods_at("UTC", clock.second).month
    spends = [await ledger.spend(Slot("team", team), "team", month) for team in (back, away)]
    await ledger.close()
    assert spends == [(10 * COST, 0), (600 * COST, 0)]
    with capsys.disabled():
        print(f"\n10 entries settled while {waited} before them waited for another master")


async def test_what_is_to_be_given_back_outlives_the_service(
    open_office: Callable[..., Office],
    fragile: Ledger,
    redis_process: RedisProcess,
    clock: FakeClock,
    tmp_path: Path,
) -> None:
    spool = SpoolFolder(tmp_path / "state")
    at = open_office(fragile, Replica(parked=spool))
    asked = claim_of(at.holder.current)
    assert isinstance(await fragile.admit(asked), Admitted)
    await written(redis_process)
    redis_process.kill()
    slots = tuple(part.slot for part in asked.slots)
    async with running(at.settler):
        at.settler.take([Withdrawal(slots, reservation_id=asked.reservation_id)])
    assert spool.waiting == 1
    spool.close()

    redis_process.start()
    again = SpoolFolder(tmp_path / "state")
    at = open_office(fragile, Replica(parked=again))
    async with running(at.settler):
        await at.all_settled()
    assert again.waiting == 0
    await until_spend(fragile, clock, (0, 0))


async def test_a_disk_without_room_drops_what_the_access_log_still_has(
    open_office: Callable[..., Office],
    fragile: Ledger,
    redis_process: RedisProcess,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    small = SpoolFolder(tmp_path / "small", most_bytes=1_000)
    at = open_office(fragile, Replica(parked=small))
    redis_process.kill()
    async with running(at.settler):
        at.settler.take([entry() for _ in range(10)])
        await until(lambda: small.waiting, "the entries to be on disk")
    assert at.settled("dropped", NONE) == 10 - small.waiting
    assert "settle the rest from the access log" in caplog.text


async def test_a_call_that_was_admitted_in_an_outage_ends_here_and_in_the_ledger(
    open_office: Callable[..., Office],
    fragile: Ledger,
    redis_process: RedisProcess,
    clock: FakeClock,
    spool: SpoolFolder,
) -> None:
    replica = Replica(parked=spool)
    at = open_office(fragile, replica)
    redis_process.kill()
    asked = claim_of(at.holder.current)
    assert isinstance(replica.stand_in.admit(asked), Admitted)
    async with running(at.settler):
        at.settler.take([entry(reservation_id=asked.reservation_id)])
        assert not replica.stand_in.admitted(asked.reservation_id)
        redis_process.start()
        await at.all_settled()
    await until_spend(fragile, clock, (COST, 0))


async def test_redis_that_goes_away_while_entries_are_settled_one_by_one_loses_none_of_them(
    office: Office, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle, settle_many = office.ledger.settle, office.ledger.settle_many
    faults: list[LedgerError] = [LedgerError("refused"), LedgerUnavailable("away")]

    async def one(wanted: Settlement) -> SettleOutcome:
        if len(faults) == 1:
            raise faults.pop()
        return await settle(wanted)

    async def many(wanted: Sequence[Settlement]) -> list[SettleOutcome]:
        if len(faults) == 2:
            raise faults.pop(0)
        return await settle_many(wanted)

    monkeypatch.setattr(office.ledger, "settle", one)
    monkeypatch.setattr(office.ledger, "settle_many", many)
    async with running(office.settler):
        office.settler.take([entry(), entry()])
        await office.all_settled()
    assert (faults, office.settled("unknown"), office.settled("failed")) == ([], 2, 0)
    assert await team_spend(office.ledger, clock) == (2 * COST, 0)


async def test_a_master_that_is_away_keeps_no_other_teams_entries_waiting(
    open_office: Callable[..., Office],
    redis_cluster: RedisCluster,
    clock: FakeClock,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ledger = Ledger(open_redis(redis_cluster.url), clock=clock)
    await ledger.ping()
    at = open_office(ledger)
    teams = [slot_on(master, "team").name for master in range(RedisCluster.MASTERS)]
    lost = redis_cluster.port_of(f"team:{teams[2]}")
    redis_cluster.kill_node(lost)

    month = periods_at("UTC", clock.second).month

    def spend_of(team: str) -> tuple[Slot, str, str]:
        return Slot("team", team), "team", month

    def ended(team: str) -> Entry:
        return replace(entry(slots=(f"team:{team}|team",)), team=team)

    async with running(at.settler):
        for _ in range(4):  # more of the lost master's than a batch takes
            at.settler.take([ended(team) for team in teams for _ in range(100)])
        await until(lambda: at.waiting() == 400, "the others to be settled")
        assert [await ledger.spend(*spend_of(team)) for team in teams[:2]] == [(400 * COST, 0)] * 2
        redis_cluster.start_node(lost)
        await at.all_settled()
    assert await ledger.spend(*spend_of(teams[2])) == (400 * COST, 0)
    tokens = sum(at.tokens("input", team) for team in teams)
    assert tokens == 1200 * USED.input_tokens  # counted once, whatever trip did it
    await ledger.close()
    with capsys.disabled():
        print(
            f"\none of three masters away: 800 of 1200 entries settled meanwhile; {tokens} tokens"
        )


async def test_a_master_that_is_away_keeps_no_teams_budget_waiting_for_the_org(
    open_office: Callable[..., Office], redis_cluster: RedisCluster, clock: FakeClock
) -> None:
    """Every call counts in its org; holds of teams must not pile up while only that is away."""
    ledger = Ledger(open_redis(redis_cluster.url), clock=clock)
    await ledger.ping()
    at = open_office(ledger)
    team, org = slot_on(0, "team").name, slot_on(2, "org").name
    lost = redis_cluster.port_of(f"org:{org}")
    redis_cluster.kill_node(lost)
    month = periods_at("UTC", clock.second).month
    slots = (f"team:{team}|team", f"org:{org}|org~")
    in_team, in_org = (Slot("team", team), "team", month), (Slot("org", org), "org", month)

    async with running(at.settler):
        at.settler.take([replace(entry(slots=slots), team=team) for _ in range(600)])
        for _ in range(2_000):
            if await ledger.spend(*in_team) == (600 * COST, 0):
                break
            await asyncio.sleep(0.01)
        assert await ledger.spend(*in_team) == (600 * COST, 0)
        assert at.waiting() == 600
        redis_cluster.start_node(lost)
        await at.all_settled()
    assert await ledger.spend(*in_team) == (600 * COST, 0)
    assert await ledger.spend(*in_org) == (600 * COST, 0)
    assert at.tokens("input", team) == 600 * USED.input_tokens
    await ledger.close()
