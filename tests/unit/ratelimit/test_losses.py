"""A Redis that came back empty is no ledger: it is noticed, told, and taken only when accepted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from ratelimit_service.claims import every_slot
from ratelimit_service.known import KnownSlots
from ratelimit_service.ledger.ledger import Ledger
from ratelimit_service.ledger.store import open_redis
from ratelimit_service.ledger.types import Admitted
from ratelimit_service.losses import Losses
from ratelimit_service.metrics import Metrics
from ratelimit_service.replica import open_replica
from ratelimit_service.spool import StateError
from tests.ledger.builders import TEAM, FakeClock
from tests.support.redis import RedisProcess
from tests.unit.ratelimit.builders import claim_of, sample, write_policy
from tollhouse.policy.source import PolicyDirectory
from tollhouse.policy.watch import PolicyHolder
from tollhouse.serving.readiness import Readiness

SLOTS = ["alias:small", "alias:vectors", "org:acme", "team:web"]


@dataclass
class Watch:
    """A watch on losses, and what it reports to."""

    losses: Losses
    known: KnownSlots
    readiness: Readiness
    registry: CollectorRegistry
    holder: PolicyHolder

    def lost(self) -> float:
        return sample(self.registry, "tollhouse_ledger_lost_slots")


@pytest.fixture
def watch(tmp_path: Path, fragile: Ledger) -> Callable[..., Watch]:
    def on(choice: str = "deny", file: Path | None = None) -> Watch:
        policies = write_policy(tmp_path / "policies", org_fields=f"on_store_outage: {choice}")
        holder, registry, readiness = (
            PolicyHolder(PolicyDirectory(policies)),
            CollectorRegistry(),
            Readiness(),
        )
        known = KnownSlots(file)
        losses = Losses(holder, fragile, Metrics(registry), readiness, known)
        return Watch(losses, known, readiness, registry, holder)

    return on


async def lose_all(redis_process: RedisProcess, clock: FakeClock) -> None:
    async with open_redis(redis_process.url) as client:
        await client.flushall()
    clock.advance(1)


async def test_a_new_ledger_is_taken_as_it_is(watch: Callable[..., Watch]) -> None:
    at = watch()
    await at.losses.look()
    await at.losses.look()
    assert (at.known.lost, at.lost(), at.readiness.ready) == ([], 0, True)


@pytest.mark.parametrize("choice", ["deny", "allow"])
async def test_a_ledger_that_came_back_empty_is_told_until_it_is_accepted(
    watch: Callable[..., Watch],
    fragile: Ledger,
    redis_process: RedisProcess,
    clock: FakeClock,
    choice: str,
) -> None:
    at = watch(choice)
    await at.losses.look()
    await lose_all(redis_process, clock)

    await at.losses.look()

    assert (at.known.lost, at.lost()) == (SLOTS, 4)
    problem = at.readiness.problems.get("ledger", "")
    assert ("`tollhouse ledger accept`" in problem) == (choice == "deny")
    await fragile.accept(every_slot(at.holder.current))
    await at.losses.look()
    assert (at.known.lost, at.lost(), at.readiness.ready) == ([], 0, True)


async def test_a_loss_is_logged_once_and_so_is_its_end(
    watch: Callable[..., Watch],
    fragile: Ledger,
    redis_process: RedisProcess,
    clock: FakeClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    at = watch()
    await at.losses.look()
    await lose_all(redis_process, clock)
    for _ in range(3):
        await at.losses.look()
    assert caplog.messages == ["Redis lost the ledger of these slots"]
    await fragile.accept(every_slot(at.holder.current))
    for _ in range(3):
        await at.losses.look()
    assert caplog.messages[1:] == ["every slot is known again"]


async def test_a_loss_after_one_that_was_accepted_is_a_loss(
    watch: Callable[..., Watch], fragile: Ledger, redis_process: RedisProcess, clock: FakeClock
) -> None:
    at = watch()
    for _ in range(2):
        await at.losses.look()
        await lose_all(redis_process, clock)
        await at.losses.look()
        assert at.known.lost == SLOTS
        await fragile.accept(every_slot(at.holder.current))
        await at.losses.look()
        assert at.known.lost == []


async def test_a_loss_is_known_over_a_restart_of_the_service(
    watch: Callable[..., Watch], tmp_path: Path, redis_process: RedisProcess, clock: FakeClock
) -> None:
    file = tmp_path / "known-slots.json"
    await watch(file=file).losses.look()
    await lose_all(redis_process, clock)
    again = watch(file=file)
    await again.losses.look()
    assert again.known.lost == SLOTS
    third = watch(file=file)
    await third.losses.look()
    assert third.known.lost == SLOTS


async def test_what_was_accepted_stays_so_over_a_restart_of_the_service(
    watch: Callable[..., Watch],
    tmp_path: Path,
    fragile: Ledger,
    redis_process: RedisProcess,
    clock: FakeClock,
) -> None:
    file = tmp_path / "known-slots.json"
    at = watch(file=file)
    await at.losses.look()
    await lose_all(redis_process, clock)
    await at.losses.look()
    await fragile.accept(every_slot(at.holder.current))
    await at.losses.look()
    again = KnownSlots(file)
    assert again.check(await fragile.births(every_slot(at.holder.current))) == []


async def test_what_is_known_is_written_only_when_it_changes(
    watch: Callable[..., Watch], tmp_path: Path
) -> None:
    file = tmp_path / "known-slots.json"
    at = watch(file=file)
    await at.losses.look()
    file.unlink()
    await at.losses.look()
    assert not file.exists()


async def test_data_that_is_restored_is_no_loss_any_more(
    watch: Callable[..., Watch], fragile: Ledger, redis_process: RedisProcess, clock: FakeClock
) -> None:
    at = watch()
    await at.losses.look()
    born = {slot.tag: ms for slot, ms in (await fragile.births([TEAM])).items()}
    at.known.check({TEAM: born["team:marketing"]})
    async with open_redis(redis_process.url) as client:
        key = "th:{team:marketing}:born"
        value = await client.hget(key, "ms")
        await client.delete(key)
        clock.advance(1)
        assert at.known.check(await fragile.births([TEAM])) == ["team:marketing"]
        await client.hset(key, "ms", value)
    assert at.known.check(await fragile.births([TEAM])) == []
    assert at.known.lost == []


async def test_one_slot_of_many_that_is_lost_leaves_the_service_ready(
    watch: Callable[..., Watch], redis_process: RedisProcess, clock: FakeClock
) -> None:
    at = watch()
    await at.losses.look()
    async with open_redis(redis_process.url) as client:
        await client.delete("th:{team:web}:born")
    clock.advance(1)
    await at.losses.look()
    assert (at.known.lost, at.lost(), at.readiness.ready) == (["team:web"], 1, True)


async def test_an_admission_tells_when_its_slots_were_first_used(
    watch: Callable[..., Watch], fragile: Ledger, clock: FakeClock
) -> None:
    asked = claim_of(watch().holder.current)
    answer = await fragile.admit(asked)
    assert isinstance(answer, Admitted)
    assert answer.births == {asked.slots[0].slot: clock.millis}
    clock.advance(1)
    assert await fragile.births(answer.births) == answer.births


async def test_a_redis_that_is_away_loses_nothing(
    watch: Callable[..., Watch], redis_process: RedisProcess
) -> None:
    at = watch()
    await at.losses.look()
    redis_process.kill()
    await at.losses.look()
    assert at.known.lost == []
    assert sample(at.registry, "tollhouse_redis_errors_total", operation="births") == 1


def test_what_is_known_must_be_readable(tmp_path: Path) -> None:
    (tmp_path / "known-slots.json").write_text("{")
    with pytest.raises(StateError, match=r"known-slots\.json cannot be read: move it away"):
        open_replica(tmp_path)


async def test_a_disk_that_is_full_is_told_and_stops_nothing(
    watch: Callable[..., Watch], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    at = watch(file=tmp_path / "missing" / "known-slots.json")
    await at.losses.look()
    assert "the slots that are known cannot be written down" in caplog.text
    assert at.readiness.ready
