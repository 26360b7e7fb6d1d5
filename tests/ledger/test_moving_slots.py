"""A hash slot that a Redis Cluster moves to another master, as any reshard does, in mid-flight."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest
from redis import Redis

from ratelimit_service.ledger.errors import LedgerMoving
from ratelimit_service.ledger.ids import new_reservation_id
from ratelimit_service.ledger.ledger import Ledger
from ratelimit_service.ledger.store import open_redis
from ratelimit_service.ledger.types import (
    Admitted,
    Claim,
    Refused,
    ScopeClaim,
    Settlement,
    SettleOutcome,
    Slot,
    SlotClaim,
)
from tests.ledger.builders import PATIENT
from tests.support.redis import RedisCluster, key_slot
from tollhouse.policy.compiled import Limits

TEAM = Slot("team", "marketing")
BUDGET, COST = 1_000, 100
STEM = "th:{team:marketing}:"


def claim(scope: str = "team", budget: int | None = BUDGET) -> Claim:
    limits = Limits(monthly_spend_nanousd=budget)
    slots = (SlotClaim(TEAM, (ScopeClaim(scope, limits),)),)
    return Claim(new_reservation_id(), slots, 5, COST, 900, "charge", "UTC")


def settlement(of: Claim) -> Settlement:
    return Settlement(of.reservation_id, ((TEAM, ("team",)),), 5, COST, "UTC")


async def spend(ledger: Ledger, times: int) -> int:
    """How many of so many calls, one after the other, were admitted and settled."""
    admitted = 0
    for _ in range(times):
        asked = claim()
        if isinstance(await ledger.admit(asked), Admitted):
            admitted += 1
            await ledger.settle(settlement(asked))
    return admitted


class Move:
    """The team's slot on its way from one master to another."""

    def __init__(self, cluster: RedisCluster) -> None:
        source = cluster.port_of(TEAM.tag)
        self._target = next(port for port in cluster.ports if port != source)
        self._nodes = {port: Redis(port=port, decode_responses=True) for port in cluster.ports}
        self._source = self._nodes[source]
        self._slot = key_slot(TEAM.tag.encode())
        ids = {port: node.execute_command("CLUSTER MYID") for port, node in self._nodes.items()}
        self._target_id = ids[self._target]
        self._set(self._nodes[self._target], "IMPORTING", ids[source])
        self._set(self._source, "MIGRATING", self._target_id)

    def keys(self, *names: str) -> None:
        """Move some keys."""
        where = ("127.0.0.1", self._target, "", 0, 5000)
        self._source.execute_command("MIGRATE", *where, "KEYS", *names)

    def end(self) -> None:
        """Move what is left, and tell every node."""
        self.keys(*self._source.execute_command("CLUSTER GETKEYSINSLOT", self._slot, 1000))
        for node in self._nodes.values():
            self._set(node, "NODE", self._target_id)

    def _set(self, node: Redis, state: str, who: str) -> None:
        node.execute_command("CLUSTER SETSLOT", self._slot, state, who)


@pytest.fixture
async def ledger(redis_cluster: RedisCluster) -> AsyncIterator[Ledger]:
    client = open_redis(redis_cluster.url, timeout_seconds=PATIENT)
    ledger = Ledger(client, timeout_seconds=PATIENT)
    yield ledger
    await ledger.close()


def this_month() -> str:
    return time.strftime("%Y-%m", time.gmtime())


async def test_nothing_is_done_by_halves_while_a_slot_moves_and_all_of_it_after(
    redis_cluster: RedisCluster, ledger: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    await spend(ledger, 9)
    running = claim()
    assert isinstance(await ledger.admit(running), Admitted)
    move = Move(redis_cluster)
    move.keys(STEM + "day:" + time.strftime("%Y-%m-%d", time.gmtime()))
    for _ in range(4):
        with pytest.raises(LedgerMoving):
            await ledger.settle(settlement(running))
    move.end()

    outcomes = [await ledger.settle(settlement(running)) for _ in range(2)]
    further = await spend(ledger, 20)

    assert outcomes == [SettleOutcome.SETTLED, SettleOutcome.DUPLICATE]
    assert further == 0
    assert await ledger.spend(TEAM, "team", this_month()) == (BUDGET, 0)
    with capsys.disabled():
        print("\n4 settlements refused while the slot moved, 1 made after; settled 1000 of 1000")


@pytest.mark.parametrize("moved", [("held", "holds", "leases"), ("held",), ()])
async def test_a_budget_that_is_spent_stays_spent_wherever_its_counters_are(
    redis_cluster: RedisCluster, ledger: Ledger, moved: tuple[str, ...]
) -> None:
    await spend(ledger, 10)
    # What another scope holds keeps the hashes there.
    assert isinstance(await ledger.admit(claim("key:x", budget=None)), Admitted)
    assert isinstance(await ledger.admit(claim()), Refused)
    move = Move(redis_cluster)
    if moved:
        move.keys(*(STEM + name for name in moved))
    for _ in range(3):
        with pytest.raises(LedgerMoving):
            await ledger.admit(claim())
    move.end()
    assert isinstance(await ledger.admit(claim()), Refused)


async def test_a_slot_that_moves_keeps_no_other_of_its_master_waiting(
    redis_cluster: RedisCluster, ledger: Ledger
) -> None:
    home = redis_cluster.port_of(TEAM.tag)
    names = (f"team-{at}" for at in range(1000))
    beside = next(name for name in names if redis_cluster.port_of(f"team:{name}") == home)
    other = SlotClaim(Slot("team", beside), (ScopeClaim("team"),))
    Move(redis_cluster)
    for _ in range(3):
        with pytest.raises(LedgerMoving):
            await ledger.admit(claim())
        well = Claim(new_reservation_id(), (other,), 5, COST, 900, "charge", "UTC")
        assert isinstance(await ledger.admit(well), Admitted)
