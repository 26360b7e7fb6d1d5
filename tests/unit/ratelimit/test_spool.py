"""Entries on disk: in order, each of them, whatever ends the service."""

from __future__ import annotations

import errno
import logging
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit_service.ledger.types import LARGEST_AMOUNT, Slot, Withdrawal
from ratelimit_service.replay.line import (
    entry_from_line,
    line_from_entry,
    line_from_withdrawal,
    withdrawal_from_line,
)
from ratelimit_service.settlement import ESTIMATED, NONE, REPORTED, Entry
from ratelimit_service.spool import Spool, SpoolFolder, StateError
from tests.unit.ratelimit.builders import PRICE, entry
from tollhouse.money import Usage

amounts = st.integers(0, LARGEST_AMOUNT)
names = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=20)
entries = st.builds(
    Entry,
    reservation_id=st.uuids().map(lambda each: each.hex),
    slots=st.lists(names, max_size=3).map(tuple),
    key_id=names,
    team=names,
    project=names,
    alias=names,
    usage=st.builds(Usage, amounts, amounts, amounts),
    usage_source=st.sampled_from([NONE, REPORTED, ESTIMATED]),
    price=st.sampled_from([None, PRICE]),
    reached_provider=st.booleans(),
    failed=st.booleans(),
    reserved_cost=amounts,
)


@given(entries)
def test_an_entry_is_read_as_it_was_written(each: Entry) -> None:
    line = line_from_entry(each)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert entry_from_line(line) == each


@given(
    st.lists(st.sampled_from([Slot("team", "web"), Slot("org", "acme"), Slot("alias", "a/b:1@c")])),
    st.uuids().map(lambda each: each.hex),
    st.uuids().map(str),
)
def test_what_is_to_be_given_back_is_read_as_it_was_written_and_is_no_entry(
    slots: list[Slot], reservation_id: str, request_id: str
) -> None:
    each = Withdrawal(tuple(slots), reservation_id, request_id)
    line = line_from_withdrawal(each)
    assert withdrawal_from_line(line) == each
    assert entry_from_line(line) is None
    assert withdrawal_from_line(line_from_entry(entry())) is None


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "waiting.jsonl"


def some(count: int) -> list[Entry]:
    return [entry() for _ in range(count)]


def test_what_went_in_first_comes_out_first_and_again_until_it_is_dropped(path: Path) -> None:
    spool, each = Spool(path), some(5)
    assert spool.put(each) == 0
    assert (spool.first(2), spool.first(2), spool.waiting) == (each[:2], each[:2], 5)
    spool.drop()
    assert (spool.first(9), spool.waiting) == (each[2:], 3)
    spool.drop()
    assert (spool.first(9), spool.waiting, path.read_bytes()) == ([], 0, b"")


def test_what_comes_while_others_are_settled_waits_behind_them(path: Path) -> None:
    spool, early, late = Spool(path), some(2), some(1)
    spool.put(early)
    assert spool.first(2) == early
    spool.put(late)
    spool.drop()
    assert (spool.first(9), spool.waiting) == (late, 1)


def test_a_restart_finds_what_was_not_all_settled(path: Path) -> None:
    each = some(3)
    spool = Spool(path)
    spool.put(each)
    spool.first(1)
    spool.drop()
    spool.close()
    again = Spool(path)
    assert (again.first(9), again.waiting) == (each, 3)


def test_a_line_that_a_kill_cut_costs_no_other(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole, cut, later = some(3)
    path.parent.mkdir()
    path.write_bytes(line_from_entry(whole) + line_from_entry(cut)[:40])
    spool = Spool(path)
    spool.put([later])
    with caplog.at_level(logging.ERROR):
        assert spool.first(9) == [whole, later]
    assert caplog.messages == ["a line of the spool cannot be settled: not a line of an access log"]
    spool.drop()
    assert spool.waiting == 0


def test_what_finds_no_room_is_told(path: Path) -> None:
    each = some(3)
    spool = Spool(path, most_bytes=2 * len(line_from_entry(each[0])) + 10)
    assert (spool.put(each), spool.waiting) == (1, 2)
    assert spool.first(9) == each[:2]


def test_a_disk_that_is_full_leaves_no_half_of_a_line(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool, each = Spool(path), some(3)
    spool.put(each[:1])
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:7]))
    assert spool.put(each[1:2]) == 1
    monkeypatch.undo()
    assert path.read_bytes() == line_from_entry(each[0])
    assert spool.put(each[2:]) == 0
    assert (spool.first(9), spool.waiting) == ([each[0], each[2]], 2)


def test_a_disk_that_refuses_is_told(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(file: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    spool, each = Spool(path), some(2)
    monkeypatch.setattr(os, "write", full)
    assert spool.put(each) == 2
    monkeypatch.undo()
    said = "an entry cannot be written to the spool: No space left on device"
    assert (caplog.messages, spool.waiting) == ([said] * 2, 0)
    assert (spool.put(each), spool.first(9)) == (0, each)


def test_an_emptied_spool_has_all_its_room_again_and_is_read_from_its_beginning(path: Path) -> None:
    each = some(2)
    spool = Spool(path, most_bytes=len(line_from_entry(each[0])) + 10)
    for one in each:
        assert spool.put([one]) == 0
        assert spool.first(9) == [one]
        spool.drop()
    assert spool.waiting == 0


def test_only_the_service_itself_may_read_it(path: Path) -> None:
    Spool(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_second_service_on_the_same_folder_is_refused(path: Path) -> None:
    spool = Spool(path)
    with pytest.raises(StateError, match=r"another service uses .*: give each its own folder"):
        Spool(path)
    spool.close()
    Spool(path)


def test_a_folder_that_cannot_be_used_is_an_error_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StateError, match=r"waiting\.jsonl cannot be used: "):
        Spool(tmp_path / "file" / "waiting.jsonl")


def of_team(name: str) -> Entry:
    return entry(slots=(f"team:{name}|team", "org:acme|org"))


def test_a_folder_has_a_queue_for_each_set_of_slots_and_no_file_of_one_that_is_empty(
    path: Path,
) -> None:
    folder, each = SpoolFolder(path.parent), [of_team(name) for name in ("a", "b", "a")]
    assert folder.put(each) == 0
    first, second = folder.queues()
    assert (folder.first(first, 9), folder.first(second, 9)) == ([each[0], each[2]], [each[1]])
    folder.drop(first)
    assert (folder.queues(), folder.waiting) == ([second], 1)
    assert [file.stem for file in path.parent.glob("*.jsonl")] == [second]


def test_a_folder_is_found_again_and_used_by_one_service_at_a_time(path: Path) -> None:
    folder, each = SpoolFolder(path.parent), of_team("a")
    folder.put([each])
    with pytest.raises(StateError, match="another service uses"):
        SpoolFolder(path.parent)
    folder.close()
    again = SpoolFolder(path.parent)
    assert [again.first(queue, 9) for queue in again.queues()] == [[each]]


def test_all_queues_of_a_folder_share_its_room(path: Path) -> None:
    each = [of_team(name) for name in "abc"]
    folder = SpoolFolder(path.parent, most_bytes=2 * len(line_from_entry(each[0])) + 10)
    assert (folder.put(each), folder.waiting) == (1, 2)
