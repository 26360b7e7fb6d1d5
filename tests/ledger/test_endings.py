"""How a reservation ended is remembered in a byte or two, and of each its own."""

import random
import secrets
import subprocess
import sys

import pytest
from redis.asyncio import Redis

from ratelimit_service.ledger.ids import new_reservation_id
from ratelimit_service.ledger.ledger import Ledger
from ratelimit_service.ledger.types import Claim, Settlement, SettleOutcome, Withdrawal
from tests.ledger.builders import SCOPES, TEAM, FakeClock, claim, settlement
from tests.ledger.contents import contents
from tests.support.endings import endings, known

STEM = "th:{team:marketing}:"
DUPLICATE, UNKNOWN = SettleOutcome.DUPLICATE, SettleOutcome.UNKNOWN


def unknown(id_: str) -> Settlement:
    return Settlement(id_, ((TEAM, ("team",)),), 0, 1, "UTC")


def neighbours(millis: int) -> list[str]:
    """Sixty-four ids that stand together."""
    start = f"{millis:012x}7bc8849a360b7de15e"
    return [f"{start}{place:02x}" for place in range(0x40, 0x80)]


async def test_neighbours_that_end_in_different_ways_are_told_apart(
    ledger: Ledger, store: Redis, clock: FakeClock
) -> None:
    lost, held, again, late, settled = (
        claim(id_ms=clock.millis, tokens=5, cost=7, lease_seconds=lease)
        for lease in (1, 600, 600, 1, 600)
    )
    for each in (lost, held, late, settled):
        await ledger.admit(each)
    slots = tuple(slot for slot, _ in SCOPES.values())
    await ledger.withdraw_lost([Withdrawal(slots, again.reservation_id)])
    clock.advance(2)
    await ledger.sweep(slots)

    outcomes = await ledger.settle_many([settlement(each) for each in (late, settled, late)])

    assert outcomes == [SettleOutcome.CORRECTED, SettleOutcome.SETTLED, DUPLICATE]
    assert endings(await contents(store), STEM) == {
        known(lost.reservation_id): "x",
        known(again.reservation_id): "w",
        known(late.reservation_id): "s",
        known(settled.reservation_id): "s",
    }
    assert await ledger.settle(settlement(held)) is SettleOutcome.SETTLED
    assert await ledger.settle(settlement(again)) is UNKNOWN
    assert await ledger.settle(settlement(lost)) is SettleOutcome.CORRECTED


async def test_ids_of_two_half_minutes_that_differ_in_nothing_else_are_two(
    ledger: Ledger, clock: FakeClock
) -> None:
    first, second = (unknown(neighbours(clock.millis - ago)[0]) for ago in (0, 30_000))

    assert await ledger.settle_many([first, second]) == [UNKNOWN, UNKNOWN]


async def test_a_text_never_outgrows_what_redis_keeps_compact(
    ledger: Ledger, store: Redis, clock: FakeClock
) -> None:
    ids = [*neighbours(clock.millis), *neighbours(clock.millis - 60_000)[1::5]]
    random.Random(7).shuffle(ids)  # noqa: S311 - any order will do, always the same

    for place, id_ in enumerate(ids):
        assert await ledger.settle(unknown(id_)) is UNKNOWN
        remembered = endings(await contents(store), STEM)  # which asserts how long they are
        assert remembered == dict.fromkeys(map(known, ids[: place + 1]), "s")

    names = [name async for name in store.scan_iter("th:*:done:*")]
    assert {await store.object("encoding", name) for name in names} <= {b"ziplist", b"listpack"}


async def test_ids_that_others_made_are_remembered_as_exactly(
    ledger: Ledger, clock: FakeClock
) -> None:
    ids = [f"{clock.millis:012x}{secrets.token_hex(10)}" for _ in range(300)]
    asked = [unknown(id_) for id_ in ids]

    assert await ledger.settle_many(asked[::2]) == [UNKNOWN] * 150
    assert await ledger.settle_many(asked) == [DUPLICATE, UNKNOWN] * 150


async def test_what_is_settled_late_is_remembered_for_four_days_from_then(
    ledger: Ledger, store: Redis, clock: FakeClock
) -> None:
    """As a replay of logs may, beside what was settled in time."""
    first, late = neighbours(clock.millis)[:2]
    await ledger.settle(unknown(first))
    (name,) = [name async for name in store.scan_iter("th:*:done:*")]
    await store.expire(name, 100_000)
    clock.advance(2 * 86_400)

    await ledger.settle(unknown(late))

    assert 345_000 < await store.ttl(name) <= 345_600


@pytest.mark.parametrize(
    ("a_second", "every", "most"), [(100, 1, 4), (3, 1, 10), (300, 50, 40)], ids=str
)
async def test_what_is_remembered_of_a_settled_call_is_small(  # noqa: PLR0917
    ledger: Ledger,
    store: Redis,
    clock: FakeClock,
    capsys: pytest.CaptureFixture[str],
    a_second: int,
    every: int,
    most: int,
) -> None:
    """Ten thousand calls of one process; in a team of which every fiftieth is, a fiftieth."""
    asked: list[Claim] = []
    for place in range(10_000):
        made = clock.millis - 1000 * place // a_second
        if place % every:
            new_reservation_id(made)
        else:
            asked.append(claim(levels=("team", "org", "alias"), id_ms=made))
    ended = [settlement(each, cost=9) for each in asked]
    await ledger.settle_many(ended)

    done = [name async for name in store.scan_iter("th:*:done:*")]
    taken = sum([await store.memory_usage(name) for name in done]) / 3 / len(ended)

    with capsys.disabled():
        print(
            f"\n{len(ended)} calls of a process that has {a_second} a second: "
            f"{taken:.1f} bytes each in each of three slots"
        )
    assert taken < most
    assert set(await ledger.settle_many(ended)) == {DUPLICATE}


def test_reservation_ids_sort_by_time_and_are_uuids_of_version_7() -> None:
    ids = [new_reservation_id(ms) for ms in range(1_700_000_000_000, 1_700_000_001_000)]

    assert ids == sorted(ids)
    assert int(ids[5][:12], 16) == 1_700_000_000_005
    assert {(each[12], each[16] in "89ab", len(each)) for each in ids} == {("7", True, 32)}


def test_the_ids_of_a_process_are_neighbours_and_do_not_repeat() -> None:
    ids = [new_reservation_id(0) for _ in range(1_000)]

    assert len(set(ids)) == 1_000
    assert len({each[:28] for each in ids}) <= 2


def test_a_process_that_was_forked_makes_ids_of_its_own() -> None:
    """What it was forked from goes on with the ids that both knew of."""
    program = (
        "import os; from ratelimit_service.ledger.ids import new_reservation_id as new;"
        "new(); child = os.fork(); os.write(1, new(0)[12:24].encode() + b' ');"
        "child and os.waitpid(child, 0)"
    )
    told = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)

    assert len(set(told.stdout.split())) == 2, told
