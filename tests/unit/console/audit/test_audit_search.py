"""What pages ask of the logs: the newest lines, read from the files' ends."""

from __future__ import annotations

import gzip
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from builders import at, call, entry, lines, refusal, write, write_calls
from hypothesis import given
from hypothesis import strategies as st

from console.audit.backwards import blocks, lines_of
from console.audit.errors import Unreadable
from console.audit.filters import ActionFilters, CallFilters, Span, span_of, written
from console.audit.log import AuditLog
from console.audit.search import recent_errors, search_audit
from tollhouse.access_log.logs import LogError
from tollhouse.keyring.moments import MomentError

MONTH = datetime(2026, 11, 1, tzinfo=UTC)
NOW = datetime(2026, 11, 28, 9, 30, tzinfo=UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "access.json"


def found(*paths: Path, **asked: Any) -> list[str | None]:
    errors = recent_errors([str(path) for path in paths], **{"since": MONTH, **asked})
    return [error.request_id for error in errors]


# Reading backwards


@given(st.text("ab0", max_size=60).map(str.encode), st.integers(1, 9))
def test_all_whole_lines_come_from_the_last_to_the_first(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, size: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "backwards"
    data = data.replace(b"0", b"\n")
    path.write_bytes(data)
    read = [line for block in blocks(path, size) for line in lines_of(block)]
    assert read == data.split(b"\n")[:-1][::-1]


# Errors


def test_an_error_has_all_that_a_page_shows(path: Path) -> None:
    [error] = recent_errors([str(write_calls(path, refusal()))], since=MONTH)
    assert error.code == "budget_exceeded"
    assert error.reason == "Refused by budget_exceeded."
    assert (error.team, error.project, error.key) == ("marketing", "site", "web-1")
    assert (error.model, error.env, error.status) == ("small", "prod", 429)
    assert (error.time, error.request_id) == ("2026-11-28T09:06:08.307Z", "98b46c24")
    assert (error.client_address, error.path, error.provider) == ("10.0.0.7", None, None)


def test_errors_are_the_calls_that_were_not_answered_the_newest_first(path: Path) -> None:
    write_calls(
        path,
        refusal(time=at(1), request_id="a"),
        call(time=at(2), request_id="b"),
        refusal("provider_error", time=at(3), request_id="c"),
        call(time=at(4), request_id="d", decision=None),
        refusal("key_expired", time=at(5), request_id="e", key_id="web-2"),
        refusal(time=at(6), request_id="f", team="sales"),
    )
    assert found(path) == ["f", "e", "c", "a"]
    assert found(path, limit=2) == ["f", "e"]
    assert found(path, filters=CallFilters(decision="key_expired")) == ["e"]
    assert found(path, filters=CallFilters(key="web-1")) == ["f", "c", "a"]
    assert found(path, filters=CallFilters(key="web-*", team="marketing")) == ["e", "c", "a"]
    assert found(path, filters=CallFilters(model="large")) == []
    assert found(path, filters=CallFilters(project="site", env="prod")) == ["f", "e", "c", "a"]
    assert found(path, teams={"sales"}) == ["f"]
    assert found(path, teams=frozenset()) == []
    assert found(path, since=datetime(2026, 11, 3, tzinfo=UTC)) == ["f", "e", "c"]
    assert found(path, until=datetime(2026, 11, 3, tzinfo=UTC)) == ["a"]


def test_a_log_that_is_written_with_spaces_is_read_too(path: Path) -> None:
    path.write_text(json.dumps(refusal(request_id="a")) + "\n")
    assert found(path) == ["a"]


def test_broken_lines_are_left_out(path: Path) -> None:
    write_calls(path, b'{"decision":"x', b'[{"decision":"x"}]', b'{"decision":"x","time":5}')
    with path.open("ab") as file:
        file.write(json.dumps(refusal()).encode())
    assert found(path) == []


def test_rotated_and_gzipped_files_are_read_too(tmp_path: Path) -> None:
    paths = [
        write_calls(tmp_path / "access.json", refusal(time=at(9), request_id="c")),
        write_calls(tmp_path / "access.json.1", refusal(time=at(8), request_id="b")),
        write_calls(tmp_path / "access.json.2.gz", refusal(time=at(7), request_id="a")),
    ]
    assert found(*paths) == ["c", "b", "a"]
    assert found(tmp_path / "access.json*", limit=2) == ["c", "b"]


def test_a_file_that_was_last_written_to_before_is_not_read(tmp_path: Path) -> None:
    old = write_calls(tmp_path / "access.json.2.gz", refusal())
    old.write_bytes(b"\x1f\x8b nonsense")
    os.utime(old, (0, (MONTH - timedelta(days=1)).timestamp()))
    new = write_calls(tmp_path / "access.json", refusal(request_id="a"))
    assert found(old, new) == ["a"]


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(LogError, match="no-such"):
        found(tmp_path / "no-such")


_CALLS = st.lists(
    st.tuples(st.integers(0, 300), st.integers(0, 120), st.sampled_from(["x", "allowed"])),
    max_size=60,
)


@given(_CALLS, st.integers(1, 8), st.integers(0, 200))
def test_pages_hold_every_error_once_in_the_order_of_time(
    tmp_path_factory: pytest.TempPathFactory,
    calls: list[tuple[int, int, str]],
    limit: int,
    since: int,
) -> None:
    """As Envoy writes them: in the order in which calls end, not that in which they began."""
    folder = tmp_path_factory.mktemp("pages")
    ended = sorted(calls, key=lambda each: each[0] + each[1])
    written_lines = [
        call(
            time=written(MONTH + timedelta(seconds=began)),
            duration_ms=took * 1000,
            decision=decision,
            request_id=f"{number:03}",
        )
        for number, (began, took, decision) in enumerate(ended)
    ]
    half = len(ended) // 2
    write_calls(folder / "a.1", *written_lines[:half])
    write_calls(folder / "a", *written_lines[half:])
    first = MONTH + timedelta(seconds=since)
    expected = sorted(
        (line["time"], line["request_id"])
        for line in written_lines
        if line["decision"] == "x" and line["time"] >= written(first)
    )[::-1]
    pages: list[tuple[str, str]] = []
    while page := recent_errors(
        [str(folder / "a*")],
        since=first,
        limit=limit,
        before=pages[-1] if pages else None,
        block=2000,
    ):
        pages += [error.place for error in page]
    assert pages == expected


# The audit log


@pytest.fixture
def audit(tmp_path: Path) -> Path:
    """Five records in three files."""
    path = tmp_path / "audit.json"
    write(path, 2)
    path.with_name("audit.json.2.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    AuditLog(path).append(entry("team:marketing", "team.patch"))
    path.rename(path.with_name("audit.json.1"))
    write(path, 2)
    return path


def seqs(path: Path, **asked: Any) -> list[int]:
    return [record.seq for record in search_audit(path, **asked)]


def test_records_come_the_newest_first_from_all_files_of_the_log(audit: Path) -> None:
    assert seqs(audit) == [5, 4, 3, 2, 1]
    assert seqs(audit, limit=4) == [5, 4, 3, 2]
    assert seqs(audit, before_seq=3) == [2, 1]


def test_records_are_found_by_what_they_are(audit: Path) -> None:
    assert seqs(audit, filters=ActionFilters(action="team.*")) == [3]
    assert seqs(audit, filters=ActionFilters(target="key:web-1")) == [4, 1]
    assert seqs(audit, filters=ActionFilters(actor="jane@example.com")) == [5, 4, 3, 2, 1]
    assert seqs(audit, filters=ActionFilters(actor="[j]ane*")) == []
    assert seqs(audit, filters=ActionFilters(decision="refused")) == []
    assert seqs(audit, span=Span(until="2026-11-28T09:06:08.307Z")) == []


def test_a_line_that_was_changed_is_left_out(audit: Path) -> None:
    audit.write_bytes(lines(audit)[0].replace(b"web-1", b"web-9") + lines(audit)[1])
    assert seqs(audit) == [5, 3, 2, 1]


def test_a_log_that_is_not_there_has_no_records(tmp_path: Path) -> None:
    assert seqs(tmp_path / "audit.json") == []


def test_a_damaged_gzip_file_of_the_log_is_named(audit: Path) -> None:
    packed = audit.with_name("audit.json.2.gz")
    packed.write_bytes(packed.read_bytes()[:-4])
    with pytest.raises((Unreadable, LogError), match=r"audit\.json\.2\.gz"):
        seqs(audit)


# Spans


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        (None, None, Span()),
        ("2026-11-01", None, Span(at(1, 0))),
        ("2026-11-01", "2026-11-01", Span(at(1, 0), at(2, 0))),
        (None, "2026-11-01T09:00:00Z", Span(None, at(1))),
        ("2026-11-01T10:00:00+01:00", None, Span(at(1))),
        ("2026-11-01T09:00", None, Span(at(1))),
        ("24h", "30m", Span(at(27, 9, 30), at(28, 9, 0))),
    ],
)
def test_a_span_is_given_in_days_times_or_as_how_long_ago(
    first: str | None, last: str | None, expected: Span
) -> None:
    assert span_of(first, last, NOW) == expected


@pytest.mark.parametrize("text", ["yesterday", "2026-13-01", "9999999d", "24", "-1d", "2026"])
def test_what_is_no_time_is_said_to_be_none(text: str) -> None:
    with pytest.raises(MomentError, match=f"'{text}' is not a time: write 2026-11-28"):
        span_of(text, None, NOW)


def test_a_span_that_holds_nothing_is_refused() -> None:
    with pytest.raises(MomentError, match="nothing is between"):
        span_of("2026-11-02", "2026-11-01", NOW)


def test_a_search_of_many_lines_stops_when_it_has_enough(path: Path) -> None:
    write_calls(path, *(call(time=at(1)) for _ in range(20_000)))
    with path.open("ab") as file:
        for number in range(40_000):
            make = refusal if number % 100 == 0 else call
            line = make(time=at(20, second=number % 60), request_id=f"{number:05}")
            file.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")
    # What is at the beginning is not read, or it would be missed.
    with path.open("r+b") as file:
        file.write(json.dumps(refusal(time=at(28), request_id="old")).encode() + b"\n")
    assert "old" not in found(path, limit=5)
