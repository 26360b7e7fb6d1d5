"""A month from access logs alone: the restored ledger is the one that saw the traffic."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

from ratelimit_service.ledger.history import DailyUsage, usage
from ratelimit_service.ledger.ids import new_reservation_id
from ratelimit_service.ledger.ledger import Ledger
from ratelimit_service.ledger.store import StoreClient
from ratelimit_service.ledger.types import Slot, SlotTotals
from ratelimit_service.replay.line import entry_from_line
from ratelimit_service.replay.rebuild import NothingLost, Rebuild, Rebuilt
from ratelimit_service.settlement import charge, settlement
from tests.ledger.builders import FakeClock
from tests.ledger.test_reconcile import ORG, line, write
from tollhouse.access_log import logs

MONTH = "2026-11"
TEAMS = ("marketing", "research", "support")
DAYS = [f"2026-11-{day:02}" for day in range(1, 31)]
LINES = 5_000
HOUR = 3_600


def traffic(clock: FakeClock) -> list[tuple[int, bytes]]:
    """(micros, line) of some weeks up to now, over all teams, in order."""
    chance = random.Random(1)  # noqa: S311 - traffic, not a secret
    span = 23 * 24 * HOUR
    moments = sorted(clock.micros - chance.randrange(span * 1_000_000) for _ in range(LINES))
    return [(at, one_line(at, chance)) for at in moments]


def one_line(micros: int, chance: random.Random) -> bytes:
    team, key = chance.choice(TEAMS), f"key-{chance.randrange(4)}"
    slots = [f"team:{team}|key:{key},project:website,team", "org:acme|org"]
    usage = {
        "input_tokens": chance.randrange(5_000),
        "output_tokens": chance.randrange(900),
        "cached_input_tokens": 0,
        "usage_source": "reported",
    }
    id_ = new_reservation_id(micros // 1000)
    reservation = {"reservation_id": id_, "slots": slots, "cost_nanousd": "9"}
    return line(id_, team=team, key_id=key, usage=usage, reservation=reservation)


async def live(ledger: Ledger, clock: FakeClock, lines: list[tuple[int, bytes]]) -> None:
    """The ledger sees the traffic as it comes."""
    now = clock.micros
    for micros, text in lines:
        clock.micros = micros
        entry = entry_from_line(text)
        assert entry is not None
        await ledger.settle(settlement(entry, charge(entry), ORG))
    clock.micros = now


async def figures(store: StoreClient, ledger: Ledger) -> tuple[dict[str, Any], list[DailyUsage]]:
    """The month and the week of every scope, and the history of every team."""
    counters = {}
    async for name in store.scan_iter("th:*"):
        if b":month:" in name or b":week:" in name:
            counters[name.decode()] = await store.hgetall(name)
    rows = [row for team in TEAMS for row in await usage(store, team, DAYS)]
    return counters, rows


async def rebuild(ledger: Ledger, *paths: Path) -> Rebuilt:
    return await Rebuild(ledger, ORG, MONTH, lambda path, read: None, 0).run([*paths])


async def test_an_empty_ledger_is_restored_to_what_it_was_and_a_second_run_changes_nothing(
    ledger: Ledger,
    store: StoreClient,
    clock: FakeClock,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = traffic(clock)
    await live(ledger, clock, lines)
    before = await figures(store, ledger)
    await store.flushall()
    half = LINES // 2
    parts = [
        write(tmp_path / name, *(text for _, text in some))
        for name, some in (("1", lines[:half]), ("2", lines[half:]))
    ]

    first = await rebuild(ledger, *parts)
    restored = await figures(store, ledger)
    second = await rebuild(ledger, *parts)

    assert restored == before
    assert await figures(store, ledger) == before
    assert (second.restored, second.before) == (0, first.restored)
    with capsys.disabled():
        print(
            f"\nrebuilt {LINES} lines: {first.summed} summed, {first.settled.lines - first.summed} "
            f"settled, nano-dollars by team {dict(first.teams)}"
        )


@pytest.mark.parametrize("slots_before_the_end", [0, 1, 3])
async def test_a_run_that_was_stopped_is_finished_by_the_next(  # noqa: PLR0917 - fixtures
    ledger: Ledger,
    store: StoreClient,
    clock: FakeClock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    slots_before_the_end: int,
) -> None:
    lines = traffic(clock)[:1_500]
    await live(ledger, clock, lines)
    before = await figures(store, ledger)
    await store.flushall()
    log = write(tmp_path / "log", *(text for _, text in lines))
    restore, left = Ledger.restore, iter(range(slots_before_the_end))

    async def stopped(self: Ledger, slot: Slot, month: str, totals: SlotTotals) -> bool:
        if next(left, None) is None:
            raise asyncio.CancelledError
        return await restore(self, slot, month, totals)

    monkeypatch.setattr(Ledger, "restore", stopped)
    with pytest.raises(asyncio.CancelledError):
        await rebuild(ledger, log)
    monkeypatch.undo()
    clock.advance(6 * HOUR)

    await rebuild(ledger, log)

    assert await figures(store, ledger) == before


async def test_what_was_counted_since_the_ledger_came_back_is_not_counted_again(
    ledger: Ledger, store: StoreClient, clock: FakeClock, tmp_path: Path
) -> None:
    lines = traffic(clock)
    await live(ledger, clock, lines)
    await store.flushall()
    await ledger.identity()
    clock.advance(HOUR)
    chance = random.Random(2)  # noqa: S311 - traffic, not a secret
    later = [(clock.micros + at, one_line(clock.micros + at, chance)) for at in range(50)]
    await live(ledger, clock, later)
    log = write(tmp_path / "log", *(text for _, text in lines + later))

    await rebuild(ledger, log)
    restored = await figures(store, ledger)

    await store.flushall()
    await live(ledger, clock, lines + later)
    assert restored == await figures(store, ledger)


async def test_a_ledger_that_is_older_than_the_month_has_lost_nothing_of_it(
    ledger: Ledger, clock: FakeClock, tmp_path: Path
) -> None:
    now = clock.micros
    clock.set("2026-10-31T12:00:00+00:00")
    await ledger.identity()
    clock.micros = now
    with pytest.raises(NothingLost, match="was there before 2026-11 began: use reconcile"):
        await rebuild(ledger, write(tmp_path / "log"))


async def test_a_log_that_is_given_twice_is_an_error(
    ledger: Ledger, clock: FakeClock, tmp_path: Path
) -> None:
    text = line(new_reservation_id(clock.millis))
    one, copy = write(tmp_path / "one", text), write(tmp_path / "copy", text, text)
    with pytest.raises(logs.LogError, match=r"copy is the same log as .*one: give each one once"):
        await rebuild(ledger, one, copy)
