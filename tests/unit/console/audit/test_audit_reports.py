"""Reports over access logs and audit logs."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from builders import at, call, entry, refusal, write, write_calls
from hypothesis import given, settings
from hypothesis import strategies as st

from console.audit import engine, reports
from console.audit.engine import Database
from console.audit.errors import Unreadable
from console.audit.filters import ActionFilters, CallFilters, Span
from console.audit.log import AuditLog
from ratelimit_service.replay.line import MalformedLine, entry_from_line
from ratelimit_service.settlement import charge
from tests.support.prices import names, prices
from tollhouse.money import COUNTS

ALL = Span()
ANY = CallFilters()


@pytest.fixture
def db() -> Iterator[Database]:
    with engine.opened() as db:
        yield db


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "access.json"


def ids(report: reports.Report) -> list[str]:
    place = report.columns.index("request_id")
    return [row[place] for row in report.rows]


# calls


def test_a_call_is_shown_with_what_it_cost(db: Database, path: Path) -> None:
    report = reports.calls(db, [write_calls(path, call())], ALL, ANY, 10)
    assert [dict(zip(report.columns, row, strict=True)) for row in report.rows] == [
        {
            "time": "2026-11-28T09:06:08.307Z",
            "team": "marketing",
            "project": "site",
            "key": "web-1",
            "model": "small",
            "env": "prod",
            "decision": "allowed",
            "status": 200,
            "input_tokens": 10,
            "output_tokens": 12,
            "cost_nanousd": 8700,
            "duration_ms": 11,
            "client_address": "10.0.0.7",
            "request_id": "98b46c24",
            "reason": "allowed",
        }
    ]


def test_the_newest_calls_come_first_from_whichever_file(db: Database, tmp_path: Path) -> None:
    times = [at(28, hour) for hour in range(20)]
    lines = [call(time=time, request_id=time) for time in times]
    paths = [
        write_calls(tmp_path / "access.json", *lines[10:15]),
        write_calls(tmp_path / "access.json.1", *lines[15:]),
        write_calls(tmp_path / "access.json.2.gz", *lines[:10]),
    ]
    report = reports.calls(db, paths, ALL, ANY, 12)
    assert ids(report) == times[:-13:-1]
    assert report.matched == 20


@given(
    times=st.lists(st.integers(0, 59), min_size=1, max_size=40),
    split=st.integers(0, 40),
    limit=st.integers(1, 12),
)
def test_no_order_of_lines_and_files_hides_a_newer_call(
    tmp_path_factory: pytest.TempPathFactory, times: list[int], split: int, limit: int
) -> None:
    folder = tmp_path_factory.mktemp("order")
    written = [call(time=at(1, second=second), request_id=at(1, second=second)) for second in times]
    paths = [
        write_calls(folder / "a", *written[:split]),
        write_calls(folder / "b", *written[split:]),
    ]
    with engine.opened() as db:
        report = reports.calls(db, paths, ALL, ANY, limit)
    assert ids(report) == sorted((line["time"] for line in written), reverse=True)[:limit]
    assert report.matched == len(written)


def test_gzip_is_known_by_its_bytes(db: Database, tmp_path: Path) -> None:
    packed = write_calls(tmp_path / "a.gz", call()).rename(tmp_path / "access.json-20261101")
    assert len(reports.calls(db, [packed], ALL, ANY, 10).rows) == 1


def test_a_damaged_gzip_file_is_named(db: Database, tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(b"{}\n" * 10_000)[:-20])
    with pytest.raises(Unreadable), engine.opened() as db_:
        reports.calls(db_, [path], ALL, ANY, 10)


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (CallFilters(), ["a", "b", "c"]),
        (CallFilters(key="web-1"), ["a"]),
        (CallFilters(key="web-*"), ["a", "b"]),
        (CallFilters(key="web-?"), ["a", "b"]),
        (CallFilters(key="web"), []),
        (CallFilters(key="[w]eb*"), []),
        (CallFilters(team="sales"), ["c"]),
        (CallFilters(project="site", env="dev"), ["b"]),
        (CallFilters(model="large"), ["c"]),
        (CallFilters(decision="budget_exceeded"), ["b"]),
        (CallFilters(decision="budget_*"), ["b"]),
    ],
)
def test_calls_are_found_by_what_they_are(
    db: Database, path: Path, filters: CallFilters, expected: list[str]
) -> None:
    write_calls(
        path,
        call(request_id="a"),
        refusal(request_id="b", key_id="web-2", env="dev"),
        call(request_id="c", key_id="other", team="sales", project="crm", alias="large"),
    )
    assert sorted(ids(reports.calls(db, [path], ALL, filters, 10))) == expected


@pytest.mark.parametrize(
    "value", ["'", "' OR 1=1 --", '"', "\\", "?", "*'", "\x00", "web-1' UNION SELECT 1", "é", ""]
)
def test_a_value_is_never_read_as_sql(db: Database, path: Path, value: str) -> None:
    write_calls(path, call(request_id="a"), call(request_id="b", key_id=value))
    for name in ("key", "team", "project", "model", "env", "decision"):
        report = reports.calls(db, [path], ALL, CallFilters(**{name: value}), 10)
        assert ids(report) == (["b"] if name == "key" else [])
    assert reports.calls(db, [path], Span(since=value), ANY, 10).matched in (0, 2)


def test_the_span_holds_its_first_moment_and_not_its_last(db: Database, path: Path) -> None:
    write_calls(path, *(call(time=at(day), request_id=str(day)) for day in (1, 2, 3)))
    assert ids(reports.calls(db, [path], Span(at(1), at(3)), ANY, 10)) == ["2", "1"]


@pytest.mark.parametrize(
    "broken",
    [
        b"nonsense",
        b"[]",
        b'"x"',
        b"{}",
        b'{"time":null}',
        b'{"time":"2026-11-28T09:06:0',
        b"\xff\xfe\x00",
        b'{"other":1}',
    ],
)
def test_a_broken_line_is_counted_and_its_neighbours_are_read(
    db: Database, path: Path, broken: bytes
) -> None:
    write_calls(path, call(request_id="a"), broken, refusal(request_id="b"))
    assert ids(reports.calls(db, [path], ALL, ANY, 10)) == ["a", "b"]
    for report in (reports.calls, reports.who, reports.denials, reports.spikes):
        assert report(db, [path], ALL, ANY, 10).broken == 1
    assert [row[0] is None for row in reports.all_calls(db, [path], ALL, ANY)].count(True) == 1


def test_members_of_another_type_are_no_reason_to_lose_a_line(db: Database, path: Path) -> None:
    write_calls(path, call(usage=7, status="x", price=[], reservation=None, key_id=5))
    report = reports.calls(db, [path], ALL, ANY, 10)
    assert (report.broken, report.matched) == (0, 1)


def test_all_calls_come_as_rows_of_the_same_columns(db: Database, path: Path) -> None:
    write_calls(path, *(call(time=at(day)) for day in range(1, 29)))
    rows = list(reports.all_calls(db, [path], Span(since=at(5)), ANY))
    assert sorted(rows, reverse=True) == reports.calls(db, [path], Span(since=at(5)), ANY, 99).rows


# Costs

_COUNT = st.none() | st.integers(-5, 2**45) | st.floats(0, 1e6) | st.just("x")
_USAGE = st.none() | st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(COUNTS, _COUNT),
        "usage_source": st.sampled_from(["none", "reported", "estimated"]),
        "service_tier": names,
        "image_variant": names,
    },
)
_LABELS = prices.map(lambda price: price.to_labels())
_TRIED = st.fixed_dictionaries(
    {"provider": st.just("openai")},
    optional={
        "silent": st.fixed_dictionaries({}, optional={"usage": _USAGE, "price": _LABELS}),
    },
)
_LINE = st.builds(
    call,
    usage=_USAGE,
    price=st.none() | _LABELS,
    flags=st.sampled_from(["-", "UF", "UH,URX", "DC", "RL,NR", "UFX", "DF,DC", ""]),
    reservation=st.none()
    | st.integers(0, 10**15).map(
        lambda cost: {"reservation_id": "1", "slots": ["team:a|team"], "cost_nanousd": str(cost)}
    ),
    tried=st.lists(_TRIED, max_size=3),
)


def _charged(line: dict[str, Any]) -> int:
    """What the ledger charges for it, in nano-dollars."""
    try:
        found = entry_from_line(json.dumps(line).encode())
    except MalformedLine:
        return 0
    return charge(found).cost if found else 0


@pytest.fixture(scope="module")
def kept() -> Iterator[Database]:
    with engine.opened() as db:
        yield db


@settings(max_examples=15)
@given(lines=st.lists(_LINE, min_size=1, max_size=60))
def test_costs_are_those_that_the_ledger_charges_to_the_nano_dollar(
    kept: Database, lines: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = write_calls(tmp_path_factory.mktemp("costs") / "access.json", *lines)
    expected = [_charged(line) for line in lines]
    report = reports.calls(kept, [path], ALL, ANY, 100)
    who = reports.who(kept, [path], ALL, ANY, 100)
    cost = report.columns.index("cost_nanousd")
    assert sorted(row[cost] for row in report.rows) == sorted(expected)
    assert sum(row[who.columns.index("cost_nanousd")] for row in who.rows) == sum(expected)


@pytest.mark.parametrize("flags", ["UF", "UH", "UO", "NR", "NC", "DF", "UF,URX", "URX,DF"])
def test_a_call_that_never_had_a_connection_costs_nothing(
    db: Database, path: Path, flags: str
) -> None:
    write_calls(path, call(flags=flags), call(flags="UFX,XDF"))
    report = reports.who(db, [path], ALL, ANY, 10)
    [row] = report.rows
    assert row[report.columns.index("cost_nanousd")] == 8700


# who


def test_who_used_which_model_when(db: Database, path: Path) -> None:
    write_calls(
        path,
        call(time=at(2)),
        call(time=at(1)),
        call(time=at(3), alias="large"),
        call(time=at(4), team="sales", project="crm", key_id="crm-1", price=None),
        refusal(time=at(5)),
    )
    report = reports.who(db, [path], ALL, ANY, 10)
    assert report.columns == reports.WHO
    assert report.rows == [
        ("marketing", "site", "web-1", "small", at(1), at(2), 2, 20, 24, 17_400),
        ("marketing", "site", "web-1", "large", at(3), at(3), 1, 10, 12, 8700),
        ("sales", "crm", "crm-1", "small", at(4), at(4), 1, 10, 12, 0),
    ]


def test_groups_beyond_the_limit_are_counted(db: Database, path: Path) -> None:
    write_calls(path, b"nonsense", *(call(key_id=f"web-{number}") for number in range(5)))
    report = reports.who(db, [path], ALL, ANY, 2)
    assert (len(report.rows), report.matched, report.broken) == (2, 5, 1)


# denials


def test_denials_are_counted_by_code_team_key_and_model(db: Database, path: Path) -> None:
    write_calls(
        path,
        refusal(time=at(1), reason="first"),
        refusal(time=at(2), reason="last"),
        refusal("key_expired", time=at(3), key_id="web-2", alias=None),
        refusal("invalid_api_key", time=at(4), key_id=None, team=None, project=None, alias=None),
        call(time=at(5)),
        call(time=at(6), decision=None),
    )
    assert reports.denials(db, [path], ALL, ANY, 10).rows == [
        ("budget_exceeded", "marketing", "web-1", "small", at(1), at(2), 2, "last"),
        ("invalid_api_key", None, None, None, at(4), at(4), 1, "Refused by invalid_api_key."),
        ("key_expired", "marketing", "web-2", None, at(3), at(3), 1, "Refused by key_expired."),
    ]


# spikes


def hours(key: str, *counts: int, **changes: Any) -> list[dict[str, Any]]:
    return [
        call(time=at(1 + hour // 24, hour % 24, minute % 60), key_id=key, **changes)
        for hour, count in enumerate(counts)
        for minute in range(count)
    ]


def test_an_hour_of_many_more_calls_than_the_median_is_a_spike(db: Database, path: Path) -> None:
    write_calls(path, *hours("web-1", 10, 9, 40, 11, 10), *hours("web-2", 10, 10, 39, 10, 10))
    rows = reports.spikes(db, [path], ALL, ANY, 10).rows
    assert ("2026-11-01T02:00:00Z", "marketing", "web-1", "calls", 40, 10) in rows
    assert not [row for row in rows if row[2] == "web-2"]


def test_few_calls_are_no_spike_however_many_times_the_median(db: Database, path: Path) -> None:
    write_calls(path, *hours("web-1", 1, 1, 20, 1), *hours("web-2", 1, 1, 21, 1))
    rows = reports.spikes(db, [path], ALL, ANY, 10).rows
    assert [row[2] for row in rows if row[2]] == ["web-2"]


def test_hours_without_a_call_do_not_count_for_the_median(db: Database, path: Path) -> None:
    write_calls(path, *hours("web-1", 30, 0, 0, 0, 0, 0, 0, 30, 0, 30))
    assert reports.spikes(db, [path], ALL, ANY, 10).rows == []


def test_denials_have_spikes_of_their_own(db: Database, path: Path) -> None:
    calls = hours("web-1", 30, 30, 30)
    for line in calls[30:55]:
        line["decision"] = "budget_exceeded"
    write_calls(path, *calls)
    assert reports.spikes(db, [path], ALL, ANY, 10).rows == [
        ("2026-11-01T01:00:00Z", "marketing", "web-1", "denials", 25, 0),
        ("2026-11-01T01:00:00Z", "marketing", None, "denials", 25, 0),
    ]


def test_a_team_can_have_a_spike_that_none_of_its_keys_has(db: Database, path: Path) -> None:
    keys = [hours(f"web-{number}", 4, 4, 0, 4) for number in range(10)]
    burst = [call(time=at(1, 2), key_id=f"new-{number}") for number in range(200)]
    write_calls(path, *(line for lines in keys for line in lines), *burst)
    rows = reports.spikes(db, [path], ALL, ANY, 10).rows
    assert rows == [("2026-11-01T02:00:00Z", "marketing", None, "calls", 200, 40)]


# actions


def test_actions_come_from_the_audit_log_the_newest_first(db: Database, tmp_path: Path) -> None:
    path = tmp_path / "audit.json"
    write(path, 3)
    report = reports.actions(db, [path], ALL, ActionFilters(), 2)
    rows = [dict(zip(report.columns, row, strict=True)) for row in report.rows]
    assert [(row["seq"], row["target"]) for row in rows] == [(3, "key:web-3"), (2, "key:web-2")]
    assert json.loads(rows[0]["after"]) == {"blocked": True}
    assert (rows[0]["actor"], rows[0]["via"], report.matched) == ("jane@example.com", "sso", 3)


@pytest.mark.parametrize(
    ("filters", "count"),
    [
        (ActionFilters(action="key.*"), 2),
        (ActionFilters(action="team.patch"), 1),
        (ActionFilters(actor="jane@*"), 3),
        (ActionFilters(actor="joe"), 0),
        (ActionFilters(target="key:web-1"), 1),
        (ActionFilters(decision="refused"), 0),
    ],
)
def test_actions_are_found_by_what_they_are(
    db: Database, tmp_path: Path, filters: ActionFilters, count: int
) -> None:
    path = tmp_path / "audit.json"
    write(path, 2)
    AuditLog(path).append(entry("team:marketing", "team.patch"))
    assert reports.actions(db, [path], ALL, filters, 10).matched == count


# The engine


def test_nothing_is_loaded_or_installed_and_nothing_can_be(db: Database) -> None:
    loaded = db.execute(
        "SELECT install_mode FROM duckdb_extensions() WHERE loaded AND extension_name = 'json'"
    ).fetchall()
    assert loaded == [("STATICALLY_LINKED",)]
    for attempt in ("SET autoload_known_extensions = true", "SET memory_limit = '64GB'"):
        with pytest.raises(duckdb.Error, match="locked"):
            db.execute(attempt)


def test_how_far_a_query_has_come_is_told(path: Path) -> None:
    write_calls(path, *(call() for _ in range(60_000)))
    told: list[float] = []
    with engine.opened(told.append) as db:
        for _ in range(200):
            reports.who(db, [path], ALL, ANY, 10)
            if told:
                break
    assert all(0 <= done <= 100 for done in told)
    assert told
