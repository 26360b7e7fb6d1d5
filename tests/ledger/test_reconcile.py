"""Reconciling access logs: what was missed is settled, once, whatever the file went through."""

from __future__ import annotations

import gzip
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from ratelimit_service.ledger.errors import LedgerUnavailable
from ratelimit_service.ledger.ids import new_reservation_id
from ratelimit_service.ledger.ledger import Ledger
from ratelimit_service.ledger.types import Admitted, SettleOutcome, Slot
from ratelimit_service.replay.checkpoint import Checkpoint
from ratelimit_service.replay.reconcile import Reconcile, Summary
from tests.ledger.builders import TEAM, FakeClock, claim
from tests.support.redis import RedisProcess
from tollhouse.access_log import logs
from tollhouse.policy.compiled import Limits, Org

ORG = Org("acme", "UTC", None, Limits(), "deny", "charge", 900, 4_096, 2**20)
PRICE = {
    "input_per_million": "0.15",
    "output_per_million": "0.6",
    "cached_input_per_million": "0.075",
}
COST = 1_000 * 150 + 500 * 600
MONTH = "2026-11"


def line(reservation_id: str, **changed: Any) -> bytes:
    """A line of the access log as Envoy writes it."""
    fields = {
        "key_id": "web-1",
        "team": "marketing",
        "project": "website",
        "alias": "gpt4_limited",
        "decision": "allowed",
        "flags": "-",
        "price": PRICE,
        "usage": {"input_tokens": 1000, "output_tokens": 500, "usage_source": "reported"},
        "reservation": {
            "reservation_id": reservation_id,
            "slots": ["team:marketing|key:web-1,project:website,team"],
            "cost_nanousd": "615000",
        },
        **changed,
    }
    return json.dumps(fields).encode() + b"\n"


@pytest.fixture
def run(ledger: Ledger, tmp_path: Path) -> Callable[..., Awaitable[Summary]]:
    """A run of its own over some files; `remembered` is its checkpoint."""

    async def reconcile(*paths: Path, remembered: Path | None = None) -> Summary:
        checkpoint = Checkpoint(remembered)
        return await Reconcile(ledger, ORG, checkpoint, lambda path, read: None, 0).run([*paths])

    return reconcile


def ids(clock: FakeClock, count: int) -> list[str]:
    return [new_reservation_id(clock.millis) for _ in range(count)]


def write(path: Path, *texts: bytes) -> Path:
    path.write_bytes(b"".join(texts))
    return path


async def spent(ledger: Ledger) -> tuple[int, int]:
    return await ledger.spend(TEAM, "team", MONTH)


async def test_what_the_stream_missed_is_charged_and_a_second_run_changes_nothing(
    ledger: Ledger, clock: FakeClock, tmp_path: Path, run: Callable[..., Awaitable[Summary]]
) -> None:
    held = claim(levels=("key", "project", "team"), cost=615_000, id_ms=clock.millis)
    assert isinstance(await ledger.admit(held), Admitted)
    log = write(tmp_path / "log", line(held.reservation_id), *map(line, ids(clock, 700)))

    first, second = await run(log), await run(log)

    assert first.outcomes == {SettleOutcome.SETTLED: 1, SettleOutcome.UNKNOWN: 700}
    assert second.outcomes == {SettleOutcome.DUPLICATE: 701}
    assert (first.charged, second.charged, first.complete) == (701 * COST, 0, True)
    assert await spent(ledger) == (701 * COST, 0)


def twice_gzipped(text: bytes) -> bytes:
    """As gzip leaves it when a log is appended to one that was packed."""
    return gzip.compress(text[:99]) + gzip.compress(text[99:])


@pytest.mark.parametrize("pack", [bytes, gzip.compress, twice_gzipped])
async def test_plain_and_gzipped_logs_are_the_same(
    ledger: Ledger,
    clock: FakeClock,
    tmp_path: Path,
    run: Callable[..., Awaitable[Summary]],
    pack: Callable[[bytes], bytes],
) -> None:
    text = b"".join(map(line, ids(clock, 300)))
    assert (await run(write(tmp_path / "log", pack(text)))).lines == 300
    assert await spent(ledger) == (300 * COST, 0)


async def test_a_run_goes_on_where_the_last_one_was_also_when_the_log_was_rotated_and_packed(
    clock: FakeClock, tmp_path: Path, run: Callable[..., Awaitable[Summary]]
) -> None:
    remembered, lines = tmp_path / "checkpoint", list(map(line, ids(clock, 900)))
    log = write(tmp_path / "access.json", *lines[:400])
    assert (await run(log, remembered=remembered)).lines == 400

    rotated = write(tmp_path / "access.json.1.gz", gzip.compress(b"".join(lines)))
    new = write(log, *map(line, ids(clock, 10)))
    summary = await run(rotated, new, remembered=remembered)

    assert (summary.lines, summary.outcomes) == (510, {SettleOutcome.UNKNOWN: 510})
    assert (await run(rotated, new, remembered=remembered)).lines == 0


async def test_a_ledger_that_was_lost_is_given_everything_again(
    ledger: Ledger,
    store: Any,
    clock: FakeClock,
    tmp_path: Path,
    run: Callable[..., Awaitable[Summary]],
) -> None:
    log, remembered = write(tmp_path / "log", *map(line, ids(clock, 5))), tmp_path / "checkpoint"
    await run(log, remembered=remembered)
    await store.flushall()
    clock.advance(0.001)

    assert (await run(log, remembered=remembered)).lines == 5
    assert await spent(ledger) == (5 * COST, 0)


async def test_a_slot_that_was_lost_is_given_its_lines_again_and_the_others_keep_theirs(
    ledger: Ledger,
    store: Any,
    clock: FakeClock,
    tmp_path: Path,
    run: Callable[..., Awaitable[Summary]],
) -> None:
    both = {"slots": ["team:marketing|team", "org:acme|org"], "cost_nanousd": "1"}
    texts = [line("", reservation={"reservation_id": id_, **both}) for id_ in ids(clock, 5)]
    log, remembered = write(tmp_path / "log", *texts), tmp_path / "checkpoint"
    await run(log, remembered=remembered)
    async for name in store.scan_iter("th:{team:marketing}:*"):
        await store.delete(name)
    clock.advance(1)

    summary = await run(log, remembered=remembered)

    assert (summary.lost, summary.lines) == (["team:marketing"], 5)
    assert await spent(ledger) == (5 * COST, 0)
    assert await ledger.spend(Slot("org", "acme"), "org", MONTH) == (5 * COST, 0)
    assert (await run(log, remembered=remembered)).lines == 0


@pytest.mark.parametrize("text", ["", "[]", '{"a:b": 5}', '{"births": 1, "offsets": {}}'])
async def test_a_checkpoint_that_cannot_be_read_costs_time_and_nothing_else(
    ledger: Ledger,
    clock: FakeClock,
    tmp_path: Path,
    run: Callable[..., Awaitable[Summary]],
    text: str,
) -> None:
    log, remembered = write(tmp_path / "log", *map(line, ids(clock, 5))), tmp_path / "checkpoint"
    remembered.write_text(text)
    assert (await run(log, remembered=remembered)).lines == 5
    assert (await run(log, remembered=remembered)).lines == 0


@pytest.mark.parametrize("bytes_lost", [9, 1_000])
async def test_of_a_log_that_was_cut_all_is_settled_that_can_be_read_and_other_logs_too(  # noqa: PLR0917
    ledger: Ledger,
    clock: FakeClock,
    tmp_path: Path,
    run: Callable[..., Awaitable[Summary]],
    capsys: pytest.CaptureFixture[str],
    bytes_lost: int,
) -> None:
    texts, remembered = list(map(line, ids(clock, 500))), tmp_path / "checkpoint"
    cut = write(tmp_path / "a.gz", gzip.compress(b"".join(texts))[:-bytes_lost])
    other = write(tmp_path / "b", *map(line, ids(clock, 3)))

    summary = await run(cut, other, remembered=remembered)

    assert summary.damaged == [f"{cut} is a damaged gzip file: what comes before is read"]
    assert not summary.complete
    assert (summary.lines >= 499 + 3) == (bytes_lost == 9)  # eight of them are gzip's checksum
    assert await spent(ledger) == (summary.lines * COST, 0)

    whole = await run(write(cut, gzip.compress(b"".join(texts))), other, remembered=remembered)
    assert (whole.lines, whole.complete) == (503 - summary.lines, True)
    assert await spent(ledger) == (503 * COST, 0)
    with capsys.disabled():
        print(
            f"\na gzip file of 500 lines without its last {bytes_lost} bytes, and one of 3: "
            f"{summary.lines} settled, {whole.lines} more when it was whole"
        )


async def test_a_line_that_is_cut_is_left_for_the_run_that_finds_it_whole(
    ledger: Ledger, clock: FakeClock, tmp_path: Path, run: Callable[..., Awaitable[Summary]]
) -> None:
    first, second = map(line, ids(clock, 2))
    log, remembered = write(tmp_path / "log", first, second[:50]), tmp_path / "checkpoint"
    summary = await run(log, remembered=remembered)
    assert (summary.lines, summary.cut, summary.complete) == (1, 1, True)

    write(log, first, second)

    assert (await run(log, remembered=remembered)).lines == 1
    assert await spent(ledger) == (2 * COST, 0)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b"not json\n", "not a line of an access log"),
        (b"[1]\n", "not a line of an access log"),
        (b'{"reservation": 5}\n', "not a line of an access log"),
        (b'{"reservation": {"reservation_id": "x"}}\n', "no slots in it"),
        (line("not one of ours"), "a reservation id is 32 lower-case hex digits"),
        (line("0" * 32, price={"input_per_million": "secret"}), "not a line of an access log"),
    ],
)
async def test_a_line_that_cannot_be_settled_is_named_by_its_place_and_holds_up_no_other(
    ledger: Ledger,
    clock: FakeClock,
    tmp_path: Path,
    run: Callable[..., Awaitable[Summary]],
    *,
    bad: bytes,
    reason: str,
) -> None:
    good = ids(clock, 2)
    log = write(tmp_path / "log", line(good[0]), bad, line(good[1]))
    summary = await run(log)
    assert (summary.malformed, summary.complete) == (1, False)
    assert summary.problems == [f"{log}:2: {reason}"]
    assert await spent(ledger) == (2 * COST, 0)


@pytest.mark.parametrize("flag", ["UF", "UH,UF", "UO", "DF"])
async def test_what_never_reached_the_provider_is_not_charged(
    ledger: Ledger,
    clock: FakeClock,
    tmp_path: Path,
    run: Callable[..., Awaitable[Summary]],
    flag: str,
) -> None:
    await run(write(tmp_path / "log", line(*ids(clock, 1), flags=flag)))
    assert await spent(ledger) == (0, 0)


async def test_a_refused_call_and_one_of_nobody_are_no_business_of_the_ledgers(
    tmp_path: Path, run: Callable[..., Awaitable[Summary]]
) -> None:
    refused = json.dumps({"team": "marketing", "reservation": {"reason": "limited"}}).encode()
    summary = await run(write(tmp_path / "log", refused + b"\n", b'{"decision":"x"}\n'))
    assert (summary.lines, summary.outcomes, summary.complete) == (2, {}, True)


async def test_a_line_older_than_the_memory_of_settlements_is_told_apart(
    clock: FakeClock, tmp_path: Path, run: Callable[..., Awaitable[Summary]]
) -> None:
    old = new_reservation_id(clock.millis - 4 * 86_400_000)
    summary = await run(write(tmp_path / "log", line(old)))
    assert summary.outcomes == {SettleOutcome.TOO_OLD: 1}
    assert not summary.complete


async def test_org_and_alias_are_charged_where_the_call_counted_there(
    ledger: Ledger, clock: FakeClock, tmp_path: Path, run: Callable[..., Awaitable[Summary]]
) -> None:
    reservation = {
        "reservation_id": ids(clock, 1)[0],
        "slots": ["team:marketing|team", "org:acme|org", "alias:gpt4_limited|alias"],
        "cost_nanousd": "615000",
    }
    await run(write(tmp_path / "log", line("", reservation=reservation)))
    assert await ledger.spend(Slot("org", "acme"), "org", MONTH) == (COST, 0)
    assert await ledger.spend(Slot("alias", "gpt4_limited"), "alias", MONTH) == (COST, 0)


async def test_a_store_that_stays_away_ends_the_run_with_what_was_settled_remembered(
    redis_process: RedisProcess, tmp_path: Path, clock: FakeClock
) -> None:
    from ratelimit_service.ledger.store import open_redis  # noqa: PLC0415

    fragile = Ledger(open_redis(redis_process.url), clock=clock)
    log = write(tmp_path / "log", *map(line, ids(clock, 600)))
    remembered = tmp_path / "checkpoint"

    def stop_it(path: Path, read: int) -> None:
        redis_process.kill()

    with pytest.raises(LedgerUnavailable):
        await Reconcile(fragile, ORG, Checkpoint(remembered), stop_it, 0).run([log])
    redis_process.start()
    again = Reconcile(fragile, ORG, Checkpoint(remembered), lambda path, read: None, 10)
    summary = await again.run([log])

    assert summary.lines in (344, 600)  # a kill before the checkpoint of the first 256, or after
    assert await spent(fragile) == (600 * COST, 0)
    await fragile.close()


def test_a_pattern_stands_for_its_files_in_order_each_once(tmp_path: Path) -> None:
    for name in ("b.json", "a.json"):
        (tmp_path / name).touch()
    pattern = str(tmp_path / "*.json")
    assert [path.name for path in logs.expand([pattern, str(tmp_path / "a.json")])] == [
        "a.json",
        "b.json",
    ]


@pytest.mark.parametrize(
    ("name", "message"),
    [("*.json", "no file matches"), ("gone", "gone is not a file that can be read")],
)
def test_a_log_that_is_not_there_is_an_error_that_names_it(
    tmp_path: Path, name: str, message: str
) -> None:
    with pytest.raises(logs.LogError, match=message):
        logs.expand([str(tmp_path / name)])


def test_a_damaged_gzip_file_is_an_error_that_says_so(tmp_path: Path) -> None:
    log = write(tmp_path / "log", gzip.compress(b"line\n" * 9999)[:-20])
    with pytest.raises(logs.LogError, match="is a damaged gzip file"):
        list(logs.lines(log))
