"""Between calls: a Redis that is away is noticed, reservations that were lost are ended."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from ratelimit_service import housekeeping
from ratelimit_service.claims import every_slot
from ratelimit_service.housekeeping import Housekeeping
from ratelimit_service.ledger.ledger import Ledger
from ratelimit_service.ledger.store import open_redis
from ratelimit_service.ledger.types import Admitted, Slot
from ratelimit_service.metrics import Metrics
from ratelimit_service.refusals import RefusalCounter
from tests.ledger.builders import FakeClock
from tests.support.redis import RedisProcess
from tests.unit.ratelimit.builders import (
    claim_of,
    sample,
    snapshot_of,
    team_spend,
    until,
    until_spend,
    write_policy,
)
from tollhouse.policy.compiled import Snapshot
from tollhouse.policy.source import PolicyDirectory
from tollhouse.policy.watch import PolicyHolder
from tollhouse.serving.readiness import Readiness


@dataclass
class House:
    """A housekeeping, and what it reports to."""

    keeping: Housekeeping
    holder: PolicyHolder
    readiness: Readiness
    registry: CollectorRegistry

    def errors(self, operation: str) -> float:
        return sample(self.registry, "tollhouse_redis_errors_total", operation=operation)

    def degraded(self) -> float:
        return sample(self.registry, "tollhouse_ledger_degraded")

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        stop = asyncio.Event()
        task = asyncio.create_task(self.keeping.run(stop))
        try:
            yield
        finally:
            stop.set()
            await task


def house(policies: Path, ledger: Ledger) -> House:
    registry, readiness = CollectorRegistry(), Readiness()
    holder = PolicyHolder(PolicyDirectory(policies))
    chores = (RefusalCounter(holder, ledger).flush,)
    keeping = Housekeeping(holder, ledger, Metrics(registry), readiness, chores)
    return House(keeping, holder, readiness, registry)


def on_outage(directory: Path, choice: str) -> Path:
    return write_policy(directory, org_fields=f"on_store_outage: {choice}")


async def reserve(snapshot: Snapshot, ledger: Ledger) -> int:
    """A reservation of 615,000 nano-dollars whose request is never heard of again."""
    asked = claim_of(snapshot)
    assert isinstance(await ledger.admit(asked), Admitted)
    return asked.cost


async def test_a_redis_that_answers_is_no_problem(tmp_path: Path, ledger: Ledger) -> None:
    at = house(write_policy(tmp_path), ledger)
    assert await at.keeping.probe()
    assert (at.readiness.problems, at.degraded(), at.errors("ping")) == ({}, 0, 0)


async def test_under_deny_a_service_without_redis_is_not_ready(
    tmp_path: Path, fragile: Ledger, redis_process: RedisProcess
) -> None:
    at = house(on_outage(tmp_path / "policies", "deny"), fragile)
    redis_process.kill()
    assert not await at.keeping.probe()
    (part, reason), *others = at.readiness.problems.items()
    assert (part, others) == ("redis", [])
    assert reason.startswith("the store is unavailable (")
    assert (at.degraded(), at.errors("ping")) == (1, 1)


async def test_under_allow_a_service_without_redis_is_ready_and_degraded(
    tmp_path: Path, fragile: Ledger, redis_process: RedisProcess
) -> None:
    at = house(on_outage(tmp_path / "policies", "allow"), fragile)
    redis_process.kill()
    assert not await at.keeping.probe()
    assert at.readiness.ready
    assert (at.degraded(), at.errors("ping")) == (1, 1)


async def test_a_redis_that_hangs_is_a_redis_that_is_away(
    tmp_path: Path, fragile: Ledger, redis_process: RedisProcess
) -> None:
    at = house(on_outage(tmp_path / "policies", "deny"), fragile)
    redis_process.send(signal.SIGSTOP)
    assert not await at.keeping.probe()
    redis_process.send(signal.SIGCONT)
    assert list(at.readiness.problems) == ["redis"]


async def test_a_redis_that_is_back_makes_the_service_ready_again(
    tmp_path: Path, fragile: Ledger, redis_process: RedisProcess, clock: FakeClock
) -> None:
    at = house(on_outage(tmp_path / "policies", "deny"), fragile)
    redis_process.kill()
    await at.keeping.probe()
    redis_process.start()
    await until_spend(fragile, clock, (0, 0))
    assert await at.keeping.probe()
    assert (at.readiness.problems, at.degraded()) == ({}, 0)


async def test_a_policy_that_changes_to_allow_during_an_outage_makes_the_service_ready(
    tmp_path: Path, fragile: Ledger, redis_process: RedisProcess
) -> None:
    at = house(on_outage(tmp_path / "policies", "deny"), fragile)
    redis_process.kill()
    await at.keeping.probe()
    on_outage(tmp_path / "policies", "allow")
    at.holder.reload()
    assert not await at.keeping.probe()
    assert at.readiness.ready


@pytest.mark.parametrize(("choice", "charged"), [("charge", 615_000), ("release", 0)])
async def test_a_reservation_whose_lease_is_over_is_ended_without_any_call(
    tmp_path: Path,
    ledger: Ledger,
    clock: FakeClock,
    caplog: pytest.LogCaptureFixture,
    *,
    choice: str,
    charged: int,
) -> None:
    fields = f"on_lost_reservation: {choice}\nreservation_lease_seconds: 10"
    at = house(write_policy(tmp_path, org_fields=fields), ledger)
    assert await reserve(at.holder.current, ledger) == 615_000
    clock.advance(11)
    async with at.kept():
        await until(lambda: caplog.records, "a sweep")
    assert await team_spend(ledger, clock) == (charged, 0)
    (record,) = caplog.records
    assert record.getMessage() == "reservations ended without a settlement"
    assert record.__dict__["fields"] == {"reservations": 1}


async def test_the_lost_calls_of_a_team_that_is_gone_from_the_policy_are_ended(
    tmp_path: Path, ledger: Ledger, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "_PROBE_SECONDS", 0.01)
    monkeypatch.setattr(housekeeping, "_SWEEP_EVERY_PROBES", 3)
    policies = write_policy(tmp_path, org_fields="reservation_lease_seconds: 10")
    at = house(policies, ledger)
    cost = await reserve(at.holder.current, ledger)
    async with at.kept():
        await until(lambda: at.keeping.swept(at.holder.current), "the team to be noted")
    team = policies / "teams/web.yaml"
    team.write_text(team.read_text().replace("team: web", "team: heirs"))
    team.rename(policies / "teams/heirs.yaml")
    at.holder.reload()
    assert "web" not in at.holder.current.teams
    clock.advance(11)
    # Another process: what was noted is in the store.
    async with house(policies, ledger).kept():
        await until_spend(ledger, clock, (cost, 0))


async def test_a_reservation_whose_lease_runs_is_left_alone(
    tmp_path: Path, ledger: Ledger, clock: FakeClock
) -> None:
    policies = write_policy(tmp_path, org_fields="reservation_lease_seconds: 10")
    at = house(policies, ledger)
    cost = await reserve(at.holder.current, ledger)
    clock.advance(9)
    assert await ledger.sweep(every_slot(at.holder.current)) == 0
    assert await team_spend(ledger, clock) == (0, cost)


async def test_a_sweep_that_fails_is_counted_and_ends_nothing_else(
    tmp_path: Path, fragile: Ledger, redis_process: RedisProcess
) -> None:
    at = house(write_policy(tmp_path / "policies"), fragile)
    async with open_redis(redis_process.url) as client:
        await client.set("th:{team:web}:leases", "not a sorted set")
    async with at.kept():
        await until(lambda: at.errors("sweep"), "a sweep")
    assert (at.errors("ping"), at.readiness.ready) == (0, True)


async def test_housekeeping_goes_on_through_an_outage_until_it_is_stopped(
    tmp_path: Path,
    fragile: Ledger,
    redis_process: RedisProcess,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(housekeeping, "_PROBE_SECONDS", 0.01)
    at = house(on_outage(tmp_path / "policies", "deny"), fragile)
    redis_process.kill()
    async with at.kept():
        await until(lambda: not at.readiness.ready, "the outage to be noticed")
        redis_process.start()
        await until(lambda: at.readiness.ready, "the recovery to be noticed")
    assert at.errors("sweep") == 0


def test_every_slot_that_a_policy_can_reserve_in_is_swept(tmp_path: Path) -> None:
    assert every_slot(snapshot_of(tmp_path)) == [
        Slot("org", "acme"),
        Slot("team", "web"),
        Slot("alias", "small"),
        Slot("alias", "vectors"),
    ]
