"""The ledger on a real Redis Cluster of three masters, whole and in part."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ratelimit_service.ledger.errors import LedgerUnavailable
from ratelimit_service.ledger.ids import new_reservation_id
from ratelimit_service.ledger.ledger import Ledger
from ratelimit_service.ledger.store import StoreClient, open_redis
from ratelimit_service.ledger.types import Admitted, Claim, Refused, ScopeClaim, Slot, SlotClaim
from tests.ledger.builders import PATIENT, FakeClock
from tests.ledger.contents import contents, open_reservations
from tests.ledger.test_rebuild import HOUR, MONTH, forget, live, rebuild
from tests.ledger.test_reconcile import COST, line, write
from tests.support.redis import HASH_SLOTS, RedisCluster, key_slot
from tollhouse.policy.compiled import Limits

DEADLINE = 0.25
SLACK = 1.0  # for a busy machine
SHARE = -(-HASH_SLOTS // RedisCluster.MASTERS)


def slot_on(master: int, kind: str) -> Slot:
    """The first slot of a kind whose keys that master keeps."""
    names = (f"name-{at}" for at in range(1000))
    name = next(n for n in names if key_slot(f"{kind}:{n}".encode()) // SHARE == master)
    return Slot(kind, name)  # type: ignore[arg-type]  # one of the three kinds


# Team, org and alias on a master each.
TEAM, ORG, ALIAS = (slot_on(at, kind) for at, kind in enumerate(("team", "org", "alias")))


def claim_in(*parts: tuple[Slot, Limits], cost: int = 7) -> Claim:
    slots = tuple(SlotClaim(slot, (ScopeClaim(slot.kind, limits),)) for slot, limits in parts)
    return Claim(new_reservation_id(), slots, 5, cost, 30, "charge", "UTC")


def claim_of_all(**limits: Limits) -> Claim:
    """A claim on all three masters; limits by kind."""
    return claim_in(*((slot, limits.get(slot.kind, Limits())) for slot in (TEAM, ORG, ALIAS)))


@pytest.fixture
async def client(redis_cluster: RedisCluster) -> AsyncIterator[StoreClient]:
    async with open_redis(redis_cluster.url, timeout_seconds=PATIENT) as client:
        yield client


@pytest.fixture
async def ledger(redis_cluster: RedisCluster, clock: FakeClock) -> AsyncIterator[Ledger]:
    """With the production deadline, on a cluster that the test may hurt."""
    ledger = Ledger(open_redis(redis_cluster.url), timeout_seconds=DEADLINE, clock=clock)
    await ledger.ping()
    yield ledger
    await ledger.close()


def port_of(cluster: RedisCluster, slot: Slot) -> int:
    return cluster.port_of(f"{slot.kind}:{slot.name}")


@pytest.mark.parametrize("refusing", ["org", "alias"])
async def test_a_refusal_on_another_master_gives_back_all_that_the_team_took(
    client: StoreClient,
    clock: FakeClock,
    capsys: pytest.CaptureFixture[str],
    refusing: str,
) -> None:
    ledger = Ledger(client, timeout_seconds=PATIENT, clock=clock)
    tight = {refusing: Limits(requests_per_minute=37)}
    asked = [claim_of_all(**tight) for _ in range(200)]
    answers = await asyncio.gather(*map(ledger.admit, asked))

    admitted = sum(isinstance(answer, Admitted) for answer in answers)
    assert admitted == 37
    for slot in (TEAM, ORG, ALIAS):
        part = SlotClaim(slot, (ScopeClaim(slot.kind),))
        (state,) = await ledger.inspect(part, "UTC")
        counted = (state.requests_used, state.requests_today, state.running, state.held_spend)
        assert counted == (37, 37, 37, 37 * 7)
    assert len(await open_reservations(client)) == 37
    with capsys.disabled():
        print(
            f"\n200 claims on three masters, {refusing} refuses: {admitted} admitted, "
            "and the team holds as many"
        )


async def test_what_cannot_be_given_back_is_told_and_ends_by_its_lease_at_the_latest(
    ledger: Ledger, redis_cluster: RedisCluster, client: StoreClient, clock: FakeClock
) -> None:
    team = port_of(redis_cluster, TEAM)
    full = {"alias": Limits(requests_per_minute=1)}
    assert isinstance(await ledger.admit(claim_of_all(**full)), Admitted)
    withdraw = ledger._withdraw

    async def when_the_teams_master_hangs(*arguments: object, **more: object) -> None:
        redis_cluster.send(team, signal.SIGSTOP)
        await withdraw(*arguments, **more)  # type: ignore[arg-type]

    ledger._withdraw = when_the_teams_master_hangs  # type: ignore[method-assign]
    answer = await ledger.admit(claim_of_all(**full))
    redis_cluster.send(team, signal.SIGCONT)

    assert isinstance(answer, Refused)
    assert answer.unreturned is not None
    assert set(answer.unreturned.slots) == {TEAM, ORG}
    clock.advance(31)
    patient = Ledger(client, timeout_seconds=PATIENT, clock=clock)
    await patient.sweep([TEAM, ORG, ALIAS])
    assert await open_reservations(client) == set()


@pytest.mark.parametrize("harm", ["kill", "freeze"])
async def test_a_master_that_is_away_keeps_only_its_own_teams_waiting(
    ledger: Ledger, redis_cluster: RedisCluster, harm: str, capsys: pytest.CaptureFixture[str]
) -> None:
    teams = [slot_on(at, "team") for at in range(RedisCluster.MASTERS)]
    hurt = port_of(redis_cluster, teams[2])
    for team in teams:
        assert isinstance(await ledger.admit(claim_in((team, Limits()))), Admitted)
    if harm == "kill":
        redis_cluster.kill_node(hurt)
    else:
        redis_cluster.send(hurt, signal.SIGSTOP)

    seen: Counter[tuple[int, str]] = Counter()
    slowest = [0.0, 0.0, 0.0]
    for _ in range(20):
        answers = await asyncio.gather(*(timed(ledger, team) for team in teams))
        for at, (what, seconds) in enumerate(answers):
            seen[at, what] += 1
            slowest[at] = max(slowest[at], seconds)

    assert seen == {(0, "Admitted"): 20, (1, "Admitted"): 20, (2, "LedgerUnavailable"): 20}
    assert max(slowest) < 2 * DEADLINE + SLACK
    if harm == "kill":
        redis_cluster.start_node(hurt)
    else:
        redis_cluster.send(hurt, signal.SIGCONT)
    await until_admitted(ledger, teams[2])
    with capsys.disabled():
        print(f"\none of three masters away ({harm}): {dict(seen)}, slowest {slowest}")


async def timed(ledger: Ledger, team: Slot) -> tuple[str, float]:
    started = time.monotonic()
    try:
        what: object = await ledger.admit(claim_in((team, Limits())))
    except LedgerUnavailable as error:
        what = error
    return type(what).__name__, time.monotonic() - started


async def until_admitted(ledger: Ledger, team: Slot) -> None:
    async with asyncio.timeout(20):
        while (await timed(ledger, team))[0] != "Admitted":
            pass


async def test_scripts_that_one_master_has_forgotten_are_taught_to_it_again(
    ledger: Ledger, client: StoreClient
) -> None:
    for _ in range(3):
        assert isinstance(await ledger.admit(claim_of_all()), Admitted)
        await client.script_flush()
    assert len(await contents(client)) > 0


def test_an_address_that_is_neither_one_server_nor_a_cluster_is_an_error() -> None:
    with pytest.raises(ValueError, match="Redis URL must specify one of the following"):
        open_redis("http+cluster://localhost")


async def test_a_cluster_of_which_a_part_is_away_is_there_in_part(
    redis_cluster: RedisCluster, ledger: Ledger
) -> None:
    """Whichever part it is: no one key stands for all."""
    assert await ledger.ping() is True
    for port in redis_cluster.ports[:-1]:
        redis_cluster.kill_node(port)
        assert await ledger.ping() is False
    redis_cluster.kill_node(redis_cluster.ports[-1])
    with pytest.raises(LedgerUnavailable):
        await ledger.ping()


@pytest.mark.parametrize(("master", "hours"), [(0, 2), (1, 120), (2, 60)])
async def test_what_one_master_lost_is_restored_and_what_the_others_have_is_left(  # noqa: PLR0917
    redis_cluster: RedisCluster,
    clock: FakeClock,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    master: int,
    hours: int,
) -> None:
    teams = [slot_on(at, "team") for at in range(RedisCluster.MASTERS)]
    moments = [clock.micros - each * HOUR * 1_000_000 for each in range(450, 0, -1)]
    lines = [(at, line_of(at, team)) for at in moments for team in teams]
    log = write(tmp_path / "log", *(text for _, text in lines))
    border = clock.micros - hours * HOUR * 1_000_000
    async with patient(redis_cluster, clock) as (ledger, _):
        await live(ledger, clock, [each for each in lines if each[0] < border])
    redis_cluster.lose_node(redis_cluster.ports[master])
    async with patient(redis_cluster, clock) as (ledger, client):
        await live(ledger, clock, [each for each in lines if each[0] >= border])
        await forget(client, clock)
        left = await spent_in(ledger, *teams, ORG, ALIAS)

        first, second = await rebuild(ledger, log), await rebuild(ledger, log)
        restored = await spent_in(ledger, *teams, ORG, ALIAS)

    assert [left[team] for team in teams] == [hours if at == master else 450 for at in range(3)]
    assert restored == {**dict.fromkeys(teams, 450), ORG: 1350, ALIAS: 1350}
    assert first.complete
    assert (second.restored, second.before) == (0, first.restored)
    with capsys.disabled():
        print(
            f"\nmaster {master} lost, rebuilt {hours} h later: calls in three teams, org and "
            f"alias {list(left.values())}, then {list(restored.values())}; "
            f"{first.restored} of 5 slots restored"
        )


@contextlib.asynccontextmanager
async def patient(
    cluster: RedisCluster, clock: FakeClock
) -> AsyncIterator[tuple[Ledger, StoreClient]]:
    """A ledger of its own, for a machine that is busy, and its client."""
    client = open_redis(cluster.url, timeout_seconds=PATIENT)
    ledger = Ledger(client, timeout_seconds=PATIENT, clock=clock)
    yield ledger, client
    await ledger.close()


def line_of(micros: int, team: Slot) -> bytes:
    id_ = new_reservation_id(micros // 1000)
    slots = [f"{slot.tag}|{slot.kind}" for slot in (team, ORG, ALIAS)]
    reservation = {"reservation_id": id_, "slots": slots, "cost_nanousd": "9"}
    return line(id_, team=team.name, alias=ALIAS.name, reservation=reservation)


async def spent_in(ledger: Ledger, *slots: Slot) -> dict[Slot, float]:
    """What was spent in this month, in calls."""
    return {slot: (await ledger.spend(slot, slot.kind, MONTH))[0] / COST for slot in slots}
