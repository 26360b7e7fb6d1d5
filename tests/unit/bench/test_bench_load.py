"""What is taken of the load generators' reports, and what fails a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from lupa.luajit21 import LuaRuntime

from bench import bodies, load, streams
from bench.load import Load, LoadError
from bench.streams import Plan, Stream, StreamError
from bench.targets import Door

_LOAD = Load(Door("http://127.0.0.1:1/v1/chat/completions"), b"{}", ["key"])
_SCRIPT = Path(load.__file__).with_name("load.lua")


def _report(**others: float) -> dict[str, Any]:
    report = {"requests": 1000, "seconds": 2.0, "refused": 0, "failed": 0, "held_back": 0}
    report |= {"p50_ms": 1.0, "p99_ms": 2.0, "p999_ms": 3.0, "max_ms": 4.0, "cpu_seconds": 0.1}
    return report | others


def test_requests_per_second_go_by_the_time_that_wrk_took() -> None:
    run = load.parse(_report(), _LOAD)
    assert run.figures["requests_per_second"] == 500
    assert run.admitted == 1000


@pytest.mark.parametrize("wrong", [{"refused": 1}, {"failed": 1}, {"requests": 0}])
def test_a_single_request_that_was_not_answered_fails_the_run(wrong: dict[str, int]) -> None:
    with pytest.raises(LoadError):
        load.parse(_report(**wrong), _LOAD)


def test_where_all_should_be_refused_an_answer_fails_the_run() -> None:
    refused = Load(_LOAD.door, b"{}", ["key"], refused=True)
    assert load.parse(_report(refused=999), refused).admitted == 1
    with pytest.raises(LoadError, match="should have been refused"):
        load.parse(_report(refused=900), refused)


def test_an_open_loop_that_was_held_back_is_told_from_one_that_was_not() -> None:
    asked = Load(_LOAD.door, b"{}", ["key"], rate=500)
    assert load.kept_rate(load.parse(_report(held_back=10), asked).figures)
    assert not load.kept_rate(load.parse(_report(held_back=11), asked).figures)


def _lua(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, keys: str, rate: str = "") -> Any:
    """The script as wrk loads it, with the part of wrk that it uses."""
    told = {"HEADERS": "authorization: Bearer {key}", "BODY": '{"a": 1}', "KEYS": keys}
    for name, text in told.items():
        (tmp_path / name).write_text(text)
        monkeypatch.setenv(f"BENCH_{name}", str(tmp_path / name))
    monkeypatch.setenv("BENCH_START", "1")
    monkeypatch.delenv("BENCH_RATE", raising=False)
    if rate:
        monkeypatch.setenv("BENCH_RATE", rate)
    lua = LuaRuntime()
    lua.execute(
        "wrk = {headers = {}};"
        "function wrk.format() return 'auth: ' .. wrk.headers.authorization .. '|' .. wrk.body end"
    )
    lua.execute(_SCRIPT.read_text())
    return lua.globals()


def test_keys_are_used_in_their_order_from_where_it_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script = _lua(monkeypatch, tmp_path, "one\ntwo\nthree")
    sent = [script.request() for _ in range(3)]
    assert sent == [f'auth: Bearer {key}|{{"a": 1}}' for key in ("two", "three", "one")]


def test_a_single_key_makes_a_request_that_never_changes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script = _lua(monkeypatch, tmp_path, "one")
    assert script.request is None
    assert script.wrk.headers.authorization == "Bearer one"


def test_an_open_loop_gives_each_request_the_next_moment_of_the_schedule(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script = _lua(monkeypatch, tmp_path, "one", rate="0.001")
    waits = [script.delay() for _ in range(3)]
    assert waits[0] == 0
    assert waits[1] == pytest.approx(1_000_000, rel=0.01)
    assert waits[2] == pytest.approx(2_000_000, rel=0.01)
    assert script.held_back == 0


def test_a_moment_that_was_missed_is_counted_and_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script = _lua(monkeypatch, tmp_path, "one", rate="0.001")
    script.delay()
    script.sent = -2  # as if the next moment had been long ago
    assert script.delay() == 0
    assert script.held_back == 1


def test_streams_start_at_a_constant_rate_that_keeps_the_wanted_number_under_way() -> None:
    plan = Plan(concurrent=10, length=2.0, seconds=2.0)
    assert plan.starts[:3] == [0, 0.2, 0.4]
    assert len(plan.starts) == 20


def test_a_stream_counts_from_when_it_was_due_and_once_all_are_under_way() -> None:
    ramp_up = Stream(due=0.0, first=9.0, last=9.0)
    counted = [Stream(due=1.0 + n, first=1.25 + n, last=2.0 + n) for n in range(4)]
    found = streams.figures([ramp_up, *counted], measured_from=1.0)
    assert found["p50_ms"] == found["p99_ms"] == 250
    assert found["whole_p99_ms"] == 1000


def test_one_stream_without_its_end_fails_the_run() -> None:
    with pytest.raises(StreamError, match="1 of 2"):
        streams.figures([Stream(0.0, 0.1, 0.2), Stream(0.0, 0.1)], measured_from=0.0)


def test_a_body_has_about_the_size_that_is_asked_for() -> None:
    for size in (100_000, 5_000_000):
        body = bodies.chat_of(size)
        assert len(body) == pytest.approx(size, rel=0.1)
        assert json.loads(body)["model"] == bodies.MODEL


def test_a_stream_tells_its_usage_and_ends() -> None:
    *_, usage, end, rest = bodies.events(10).split(b"\n\n")
    assert json.loads(usage.removeprefix(b"data: "))["usage"]["completion_tokens"] == 10
    assert (end, rest) == (b"data: [DONE]", b"")
