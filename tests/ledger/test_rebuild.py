"""A month from access logs alone: the restored ledger is the one that saw the traffic."""

from __future__ import annotations

import asyncio
import gzip
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from ratelimit_service.ledger.history import DailyUsage, usage
from ratelimit_service.ledger.ids import new_reservation_id
from ratelimit_service.ledger.ledger import Ledger
from ratelimit_service.ledger.store import StoreClient
from ratelimit_service.ledger.types import (
    Admitted,
    Claim,
    ScopeClaim,
    Settlement,
    SettleOutcome,
    Slot,
    SlotClaim,
    SlotTotals,
)
from ratelimit_service.replay.checkpoint import Checkpoint
from ratelimit_service.replay.line import entry_from_line
from ratelimit_service.replay.rebuild import Rebuild, Rebuilt
from ratelimit_service.replay.reconcile import Reconcile, Summary
from ratelimit_service.settlement import charge, settlement
from tests.ledger.builders import FakeClock
from tests.ledger.test_reconcile import ORG, line, write
from tollhouse.access_log import logs

MONTH = "2026-11"
TEAMS = ("marketing", "research", "support")
DAYS = [f"2026-11-{day:02}" for day in range(1, 31)]
LINES = 2_000
HOUR = 3_600
DAY = 24 * HOUR * 1_000_000


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


async def live(
    ledger: Ledger, clock: FakeClock, lines: list[tuple[int, bytes]], behind: int = 0
) -> None:
    """The ledger sees the traffic as it comes: each call is admitted, and ends.

    `behind`: how many microseconds the clock that makes the ids is behind the ledger's.
    """
    now = clock.micros
    for micros, text in lines:
        clock.micros = micros + behind
        entry = entry_from_line(text)
        assert entry is not None
        wanted = settlement(entry, charge(entry), ORG)
        assert isinstance(await ledger.admit(claim_of(wanted)), Admitted)
        await ledger.settle(wanted)
    clock.micros = now


def claim_of(wanted: Settlement) -> Claim:
    slots = tuple(SlotClaim(slot, tuple(map(ScopeClaim, scopes))) for slot, scopes in wanted.slots)
    return Claim(wanted.reservation_id, slots, 9, 9, 900, "charge", "UTC", row=wanted.row)


async def forget(store: StoreClient, clock: FakeClock) -> None:
    """What was settled over four days ago is forgotten: keys expire by the real clock, not ours."""
    async for name in store.scan_iter("th:*:done:*"):
        if int(name.rpartition(b":")[2]) * 30_000_000 < clock.micros - 4 * DAY:
            await store.delete(name)


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


async def reconcile(ledger: Ledger, *paths: Path) -> Summary:
    run = Reconcile(ledger, ORG, Checkpoint(None), lambda path, read: None, 0)
    return await run.run([*paths])


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
    lines = traffic(clock)[:600]
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


async def test_a_ledger_that_lost_nothing_is_left_as_it_is(
    ledger: Ledger,
    store: StoreClient,
    clock: FakeClock,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = traffic(clock)
    await live(ledger, clock, lines)
    await forget(store, clock)
    before = await figures(store, ledger)

    rebuilt = await rebuild(ledger, write(tmp_path / "log", *(text for _, text in lines)))

    assert await figures(store, ledger) == before
    assert (rebuilt.summed, rebuilt.restored, rebuilt.complete) == (0, 0, True)
    duplicates = rebuilt.settled.outcomes[SettleOutcome.DUPLICATE]
    assert rebuilt.kept == LINES - duplicates > 0
    with capsys.disabled():
        print(
            f"\nrebuild of a healthy ledger, {LINES} lines: {duplicates} remembered, "
            f"{rebuilt.kept} too old and not lost, {rebuilt.summed} added"
        )


# Ids made up to a second before or after the ledger's clock; within four days it does not matter.
@pytest.mark.parametrize(
    ("hours", "behind_ms"),
    [(1, 0), (48, 900), (48, -900), (80, 900), (80, -900), (150, 0)],
)
async def test_a_ledger_that_was_lost_and_went_on_holds_every_call_once(  # noqa: PLR0917
    ledger: Ledger,
    store: StoreClient,
    clock: FakeClock,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    hours: int,
    behind_ms: int,
) -> None:
    lines = traffic(clock)[-700:]
    border = clock.micros - hours * HOUR * 1_000_000
    seconds = (border + each * 1_000_000 // 4 for each in range(-20, 20))
    chance = random.Random(2)  # noqa: S311 - traffic, not a secret
    lines = sorted(lines + [(at, one_line(at, chance)) for at in seconds])
    lost = [each for each in lines if each[0] + behind_ms * 1_000 < border]
    later = [each for each in lines if each not in lost]
    for some in (lost, later):
        await store.flushall()
        await live(ledger, clock, some, behind_ms * 1_000)
    await forget(store, clock)

    rebuilt = await rebuild(ledger, write(tmp_path / "log", *(text for _, text in lines)))
    counted = await spends(ledger)

    wanted = spends_of(lines)
    assert counted == wanted
    assert (rebuilt.late > 0) == (hours > 84)
    with capsys.disabled():
        print(
            f"\nlost, went on, rebuilt {hours} h later: {len(lost)} calls lost and {len(later)} "
            f"since, {rebuilt.summed} summed; counted {sum(counted.values())} of "
            f"{sum(wanted.values())} nano-dollars"
        )


async def spends(ledger: Ledger) -> dict[str, int]:
    slots = [*(Slot("team", team) for team in TEAMS), Slot("org", "acme")]
    return {slot.tag: (await ledger.spend(slot, slot.kind, MONTH))[0] for slot in slots}


def spends_of(lines: list[tuple[int, bytes]]) -> dict[str, int]:
    """What the lines cost, by slot."""
    costs: Counter[str] = Counter()
    for _, text in lines:
        entry = entry_from_line(text)
        assert entry is not None
        for slot in (f"team:{entry.team}", "org:acme"):
            costs[slot] += charge(entry).cost
    return dict(costs)


@pytest.mark.parametrize("hours_later", [1, 80])
async def test_what_was_reconciled_into_a_ledger_that_was_lost_is_not_added_again(
    ledger: Ledger, store: StoreClient, clock: FakeClock, tmp_path: Path, hours_later: int
) -> None:
    lines = traffic(clock)[-700:]
    log = write(tmp_path / "log", *(text for _, text in lines))
    await store.flushall()
    assert (await reconcile(ledger, log)).outcomes[SettleOutcome.UNKNOWN] > 0
    clock.advance(hours_later * HOUR)  # no settlement is forgotten yet

    assert (await rebuild(ledger, log)).complete

    assert await spends(ledger) == spends_of(lines)


async def test_what_a_run_settled_so_long_ago_that_it_is_forgotten_is_left_and_told(
    ledger: Ledger, store: StoreClient, clock: FakeClock, tmp_path: Path
) -> None:
    lines = traffic(clock)[-700:]
    early, late = lines[:-50], lines[-50:]  # the last half day
    await store.flushall()
    # Which had lines that were too old to be settled, too: those are not in doubt.
    some = (early[0], *late)
    await reconcile(ledger, write(tmp_path / "late", *(text for _, text in some)))
    clock.advance(120 * HOUR)
    await forget(store, clock)

    rebuilt = await rebuild(ledger, write(tmp_path / "log", *(text for _, text in lines)))

    assert (rebuilt.unclear, rebuilt.summed, rebuilt.complete) == (len(late), len(early), False)
    assert await spends(ledger) == spends_of(lines)


async def test_a_damaged_log_is_named_and_nothing_is_added_until_it_is_whole(
    ledger: Ledger, clock: FakeClock, tmp_path: Path
) -> None:
    lines = traffic(clock)[-700:]
    texts = [text for _, text in lines]
    whole = gzip.compress(b"".join(texts[:300]))
    cut, other = write(tmp_path / "a.gz", whole[:-9]), write(tmp_path / "b", *texts[300:])

    rebuilt = await rebuild(ledger, cut, other)
    assert (rebuilt.restored, rebuilt.complete) == (0, False)
    assert rebuilt.settled.damaged == [f"{cut} is a damaged gzip file: what comes before is read"]

    write(cut, whole)
    assert (await rebuild(ledger, cut, other)).complete
    assert await spends(ledger) == spends_of(lines)


async def test_a_log_that_is_given_twice_is_an_error(
    ledger: Ledger, clock: FakeClock, tmp_path: Path
) -> None:
    text = line(new_reservation_id(clock.millis))
    one, copy = write(tmp_path / "one", text), write(tmp_path / "copy", text, text)
    with pytest.raises(logs.LogError, match=r"copy is the same log as .*one: give each one once"):
        await rebuild(ledger, one, copy)
