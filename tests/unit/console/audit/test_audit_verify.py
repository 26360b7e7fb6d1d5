"""Whatever is done to the files of an audit log is found, and its line is named."""

from __future__ import annotations

import gzip
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from builders import entry, lines, write
from hypothesis import example, given, settings
from hypothesis import strategies as st

from console.audit.chain import Chain, Noted, Place
from console.audit.errors import Unreadable
from console.audit.log import AuditLog
from console.audit.record import GENESIS, Head, Record, hash_of, line_of
from console.audit.verify import Verdict, verify
from tollhouse.access_log.logs import LogError

COUNT = 6


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "audit.json"
    write(path, COUNT)
    return path


def change(path: Path, *changed: bytes) -> None:
    path.write_bytes(b"".join(changed))


def findings(*paths: Path, noted: tuple[Noted, ...] = ()) -> list[str]:
    folder = f"{paths[0].parent}/"
    return [str(each).replace(folder, "") for each in verify(paths, noted).findings]


def forged(line: bytes, **members: object) -> bytes:
    """The line with other members, and the hash that fits."""
    return line_of({**json.loads(line), **members})[0]


# What can be done to a log


def test_a_log_as_it_was_written_is_good(path: Path) -> None:
    verdict = verify([path])
    assert (verdict.is_good, verdict.records, verdict.notes) == (True, COUNT, ())
    assert verdict.head == Record(json.loads(lines(path)[-1])).head
    assert verdict.checked_against == (str(path.with_suffix(".head")),)


def test_a_changed_line_is_found(path: Path) -> None:
    a, b, *rest = lines(path)
    change(path, a, b.replace(b"web-2", b"web-3"), *rest)
    assert findings(path) == ["audit.json:2: was changed: the hash of record 2 does not fit"]


def test_a_line_that_was_changed_with_its_hash_is_found_at_the_next(path: Path) -> None:
    a, b, *rest = lines(path)
    change(path, a, forged(b, target="key:web-9"), *rest)
    assert findings(path) == [
        "audit.json:3: does not continue record 2 (audit.json:2): one of the two was rewritten,"
        " its hash too"
    ]


def test_a_removed_line_is_found(path: Path) -> None:
    a, _, *rest = lines(path)
    change(path, a, *rest)
    assert findings(path) == ["audit.json:2: follows record 1: record 2 was removed or moved"]


def test_removed_first_lines_are_found(path: Path) -> None:
    change(path, *lines(path)[2:])
    assert findings(path) == [
        "audit.json:1: follows record 0: records 1 to 2 were removed or moved"
    ]


def test_a_line_that_was_written_twice_is_found(path: Path) -> None:
    a, b, *rest = lines(path)
    change(path, a, b, b, *rest)
    assert findings(path) == [
        "audit.json:3: is record 2 again, or out of its order: record 2 is before it"
    ]


def test_an_inserted_line_is_found(path: Path) -> None:
    a, b, *rest = lines(path)
    made = forged(b, seq=3, target="key:made", previous_hash=json.loads(b)["hash"])
    change(path, a, b, made, *rest)
    assert findings(path)[0] == (
        "audit.json:4: is record 3 again, or out of its order: record 3 is before it"
    )


def test_swapped_lines_are_found(path: Path) -> None:
    a, b, c, *rest = lines(path)
    change(path, a, c, b, *rest)
    assert findings(path) == [
        "audit.json:2: follows record 1: record 2 was removed or moved",
        "audit.json:3: is record 2 again, or out of its order: record 3 is before it",
    ]


def test_a_cut_end_is_found(path: Path) -> None:
    change(path, *lines(path)[:4])
    assert findings(path) == [
        "audit.json:4: is the end, and records 5 to 6 were cut off: audit.head has record 6"
    ]


def test_an_emptied_log_is_found(path: Path) -> None:
    change(path)
    assert findings(path) == [
        "audit.head: is the end, and records 1 to 6 were cut off: audit.head has record 6"
    ]


def test_a_line_without_its_newline_is_found(path: Path) -> None:
    change(path, path.read_bytes()[:-1])
    assert findings(path) == ["audit.json:6: is cut off: there is no newline at its end"]


def test_a_record_that_the_log_did_not_append_is_found(path: Path) -> None:
    last = json.loads(lines(path)[-1])
    made = forged(lines(path)[-1], seq=last["seq"] + 1, previous_hash=last["hash"])
    change(path, *lines(path), made)
    [finding] = findings(path)
    assert finding.startswith("audit.json:7: is record 7, but audit.head ends at 6: what follows")


def test_a_log_that_was_written_anew_is_found_by_a_head_that_was_noted(path: Path) -> None:
    noted = verify([path]).head
    for each in path.parent.iterdir():
        each.unlink()
    log = AuditLog(path)
    for _ in range(COUNT + 1):
        log.append(entry("key:other"))
    assert findings(path) == []
    assert findings(path, noted=(Noted("--head", noted),)) == [
        "audit.json:6: is another record 6 than that of --head: it was rewritten"
    ]


def test_a_head_that_was_noted_earlier_is_no_reason_to_complain(path: Path) -> None:
    earlier = Record(json.loads(lines(path)[2])).head
    assert findings(path, noted=(Noted("--head", earlier),)) == []


def test_two_changes_are_both_found(path: Path) -> None:
    a, b, c, d, *rest = lines(path)
    change(path, a.replace(b"web-1", b"web-2"), b, c, d.replace(b"web-4", b"web-2"), *rest)
    assert [finding.partition(": ")[0] for finding in findings(path)] == [
        "audit.json:1",
        "audit.json:4",
    ]


def test_records_removed_behind_a_damaged_line_are_found(path: Path) -> None:
    a, b, _, _, *rest = lines(path)
    change(path, a, b"nonsense\n", *rest)
    assert findings(path) == [
        "audit.json:2: was changed: it is no record",
        "audit.json:3: follows record 1: records 2 to 3 were removed or moved",
    ]
    assert b


@contextmanager
def a_log() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        copied = Path(folder) / "log"
        shutil.copytree(_WRITTEN, copied)
        yield copied / "audit.json"


@pytest.fixture(scope="module", autouse=True)
def _written(tmp_path_factory: pytest.TempPathFactory) -> None:
    global _WRITTEN  # noqa: PLW0603 - Hypothesis takes no fixtures of a test
    _WRITTEN = tmp_path_factory.mktemp("written")
    write(_WRITTEN / "audit.json", COUNT)


_WRITTEN = Path()


def _line_at(data: bytes, offset: int) -> int:
    return data.count(b"\n", 0, offset) + 1


@settings(max_examples=400, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 255))
def test_any_byte_that_is_changed_is_found_in_its_line(offset: int, by: int) -> None:
    with a_log() as path:
        data = bytearray(path.read_bytes())
        offset %= len(data)
        data[offset] ^= by
        expected = _line_at(path.read_bytes(), offset)
        path.write_bytes(data)
        assert verify([path]).findings[0].place == Place(str(path), expected)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10**6))
def test_any_byte_that_is_removed_is_found_in_its_line(offset: int) -> None:
    with a_log() as path:
        data = path.read_bytes()
        offset %= len(data)
        path.write_bytes(data[:offset] + data[offset + 1 :])
        assert verify([path]).findings[0].place == Place(str(path), _line_at(data, offset))


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10**6), st.binary(min_size=1, max_size=3))
@example(0, b"\n")
def test_bytes_that_are_inserted_are_found_in_their_line(offset: int, more: bytes) -> None:
    with a_log() as path:
        data = path.read_bytes()
        offset %= len(data)
        path.write_bytes(data[:offset] + more + data[offset:])
        assert verify([path]).findings[0].place == Place(str(path), _line_at(data, offset))


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_no_other_order_or_choice_of_lines_is_good(data: st.DataObject) -> None:
    with a_log() as path:
        written = lines(path)
        chosen = data.draw(st.lists(st.sampled_from(written), max_size=8))
        change(path, *chosen)
        assert verify([path]).is_good == (chosen == written)


# Several files


@pytest.fixture
def rotated(path: Path) -> list[Path]:
    """Three files, the oldest gzipped, whose names sort in another order than their records."""
    oldest, middle = path.with_name("audit.json.2.gz"), path.with_name("audit.json.1")
    oldest.write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    log = AuditLog(path)
    log.append(entry())
    path.rename(middle)
    log.append(entry())
    return sorted(path.parent.glob("audit.json*"))


def test_rotated_files_are_one_chain_in_the_order_of_their_records(rotated: list[Path]) -> None:
    verdict = verify(rotated)
    assert verdict.is_good
    assert [(Path(each.file).name, each.first, each.head) for each in verdict.parts] == [
        ("audit.json.2.gz", 1, _head(rotated, COUNT)),
        ("audit.json.1", COUNT + 1, _head(rotated, COUNT + 1)),
        ("audit.json", COUNT + 2, _head(rotated, COUNT + 2)),
    ]


def _head(paths: list[Path], seq: int) -> Head:
    texts = [
        gzip.decompress(p.read_bytes()) if p.suffix == ".gz" else p.read_bytes() for p in paths
    ]
    records = [Record(json.loads(line)) for text in texts for line in text.splitlines()]
    return next(record.head for record in records if record.seq == seq)


def test_a_removed_file_is_found(rotated: list[Path]) -> None:
    [finding] = findings(*(path for path in rotated if path.name != "audit.json.1"))
    assert finding == "audit.json:1: follows record 6: record 7 was removed or moved"


def test_older_files_may_be_gone_if_their_head_was_noted(rotated: list[Path]) -> None:
    kept = [path for path in rotated if path.suffix != ".gz"]
    assert not verify(kept).is_good
    assert verify(kept, start=_head(rotated, COUNT)).is_good
    assert not verify(kept, start=Head(COUNT, "a" * 64)).is_good


def test_a_changed_line_of_a_gzipped_file_is_named(rotated: list[Path]) -> None:
    oldest = rotated[-1]
    a, b, *rest = gzip.decompress(oldest.read_bytes()).splitlines(keepends=True)
    oldest.write_bytes(gzip.compress(b"".join([a, b.replace(b"web-2", b"web-3"), *rest])))
    assert findings(*rotated) == [
        "audit.json.2.gz:2: was changed: the hash of record 2 does not fit"
    ]


def test_a_damaged_gzip_file_cannot_be_read(rotated: list[Path]) -> None:
    rotated[-1].write_bytes(rotated[-1].read_bytes()[:-9])
    with pytest.raises(LogError, match="damaged gzip"):
        verify(rotated)


def test_an_empty_log_after_rotation_is_good(path: Path) -> None:
    rotated = path.rename(path.with_name("audit.json.1"))
    path.touch()
    assert verify([path, rotated]).is_good


def test_files_without_a_head_beside_them_are_good_with_a_note(path: Path) -> None:
    path.with_suffix(".head").unlink()
    verdict = verify([path])
    assert verdict.is_good
    assert "records cut off at the end would not be missed" in verdict.notes[0]


def test_a_head_that_is_none_cannot_be_read(path: Path) -> None:
    path.with_suffix(".head").write_text('{"seq": 0, "hash": ""}')
    with pytest.raises(Unreadable, match="does not hold a seq and a hash"):
        verify([path])


def test_a_copy_without_its_lock_is_compared_with_its_head(path: Path) -> None:
    path.with_suffix(".lock").unlink()
    assert verify([path]).checked_against == (str(path.with_suffix(".head")),)


# The chain by itself


def test_lines_that_no_parser_survives_are_no_records() -> None:
    chain = Chain()
    hostile = [b"[" * 100_000, b"\x00", b"", b"null", b'{"seq":1}', b"\xff\xfe" * 10, b"1e999"]
    for number, line in enumerate(hostile, 1):
        assert chain.take(Place("a", number), line + b"\n") is None
    assert len(chain.findings) == len(hostile)


@pytest.mark.parametrize("seq", ['"1"', "-1", "0", "1.5", "null", "[1]"])
@pytest.mark.parametrize("previous", [f'"{GENESIS}"', "5", '"\\ud800"'])
def test_a_fitting_hash_makes_no_record_of_a_line_without_sense(seq: str, previous: str) -> None:
    text = f'{{"seq":{seq},"previous_hash":{previous}}}'.encode()
    digest = hash_of(str(json.loads(previous)), text)
    chain = Chain()
    line = text[:-1] + f',"hash":"{digest}"}}\n'.encode()
    assert chain.take(Place("a", 1), line) is None


def test_a_verdict_of_nothing_is_good() -> None:
    assert verify([]) == Verdict(
        (),
        ("no head to compare with: records cut off at the end would not be missed",),
        (),
        0,
        Head(0, GENESIS),
        (),
    )
