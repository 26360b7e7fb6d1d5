"""`tollhouse audit`, run as its users run it."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from builders import at, call, lines, refusal, write, write_calls
from redis import Redis

from console.audit.kept_head import KeptHead
from tests.unit.test_cli import argv, run, tollhouse


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "audit.json"
    write(path, 3)
    return path


# verify


def test_verify_says_that_a_log_is_good_and_prints_its_head(path: Path) -> None:
    shown = tollhouse("audit", "verify", str(path))
    head = json.loads(lines(path)[-1])["hash"]
    assert shown.stdout == (
        f"{path}: records 1 to 3:{head}\n"
        f"good: 3 records, compared with {path.with_suffix('.head')}; head 3:{head}\n"
    )
    assert (shown.returncode, shown.stderr) == (0, "")


def test_verify_names_the_line_that_was_changed(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"web-2", b"web-9"))
    shown = tollhouse("audit", "verify", str(path))
    assert f"{path}:2: was changed: the hash of record 2 does not fit\n" in shown.stdout
    assert "TAMPERED: 1 finding in 2 records" in shown.stdout
    assert shown.returncode == 1


def test_verify_speaks_json(path: Path) -> None:
    good = json.loads(tollhouse("audit", "verify", str(path), "--json").stdout)
    assert (good["good"], good["records"], good["findings"]) == (True, 3, [])
    path.write_bytes(b"".join(lines(path)[:2]))
    shown = tollhouse("audit", "verify", str(path), "--json")
    [finding] = json.loads(shown.stdout)["findings"]
    assert (finding["file"], finding["line"]) == (str(path), 2)
    assert shown.returncode == 1


def test_verify_finds_by_a_noted_head_that_the_log_was_written_anew(path: Path) -> None:
    head = json.loads(tollhouse("audit", "verify", str(path), "--json").stdout)["head"]
    for each in path.parent.iterdir():
        each.unlink()
    write(path, 2)
    assert tollhouse("audit", "verify", str(path)).returncode == 0
    shown = tollhouse("audit", "verify", str(path), "--head", head)
    assert shown.returncode == 1
    assert f"{path}:2: is the end, and record 3 was cut off: --head has record 3" in shown.stdout


def test_verify_compares_with_the_head_in_redis(path: Path, redis_url: str) -> None:
    with Redis.from_url(redis_url) as redis:
        redis.flushall()
    ask = ("audit", "verify", str(path), "--redis-url", redis_url)
    none = tollhouse(*ask)
    assert "there is no th:audit:head in that Redis" in none.stderr
    assert none.returncode == 2
    [*_, last] = map(json.loads, lines(path))
    kept = KeptHead(redis_url)
    kept.advance(write(path)[0].head)
    kept.close()
    assert tollhouse(*ask).returncode == 0
    path.write_bytes(b"".join(lines(path)[:3]))
    path.with_suffix(".head").write_text(json.dumps({"seq": 3, "hash": last["hash"]}))
    shown = tollhouse(*ask)
    assert "record 4 was cut off: the head in Redis has record 4" in shown.stdout
    assert shown.returncode == 1


def test_verify_finds_the_log_of_the_gateway_that_runs_here(path: Path, tmp_path: Path) -> None:
    (tmp_path / ".run").mkdir()
    (tmp_path / ".run/up.json").write_text(json.dumps({"audit_log": str(path)}))
    path.rename(path.with_name("audit.json.1"))
    write(path)
    shown = tollhouse("audit", "verify", cwd=tmp_path)
    assert "good: 4 records" in shown.stdout
    assert shown.returncode == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["no-such-*"], "no file matches no-such-*"),
        (["no-such"], "no-such is not a file that can be read"),
        ([], "name the files"),
        (["audit.json", "--head", "3"], "--head 3: a head is SEQ:HASH"),
        (["audit.json", "--head", "1:xyz"], "a head is SEQ:HASH"),
        (["audit.json", "--start", "-1:0"], "--start -1:0: a head is SEQ:HASH"),
        (["audit.json", "--redis-url", "ftp://x"], "the address of Redis must begin with redis://"),
        (["audit.json", "--redis-url", "redis://127.0.0.1:1/0"], "Redis cannot be used"),
    ],
)
def test_verify_says_what_it_cannot_read(words: list[str], said: str, path: Path) -> None:
    shown = tollhouse("audit", "verify", *words, cwd=path.parent)
    assert said in shown.stderr
    assert shown.returncode == 2


# search


@pytest.fixture
def access(tmp_path: Path) -> Path:
    return write_calls(
        tmp_path / "access.json",
        call(time=at(1), request_id="a"),
        b"nonsense",
        refusal(time=at(2), request_id="b", reason="=cmd"),
        call(time=at(3), request_id="c", team="sales", key_id="crm-1"),
    )


def search(*words: str, cwd: Path) -> tuple[str, str]:
    shown = tollhouse("audit", "search", *words, cwd=cwd)
    assert shown.returncode == 0, shown.stderr
    return shown.stdout, shown.stderr


def test_search_prints_calls_as_a_table_and_tells_of_broken_lines(access: Path) -> None:
    shown, said = search("--log", "access.json", "--limit", "2", cwd=access.parent)
    head, first, second = shown.splitlines()
    assert head.split()[:6] == ["time", "team", "key", "model", "decision", "status"]
    assert first.split() == [
        *(at(3), "sales", "crm-1", "small", "allowed", "200", "10", "12", "0.0000087", "11")
    ]
    assert second.split()[4] == "budget_exceeded"
    assert said == (
        "2 of 3, newest first: --limit shows more\n"
        "1 line is broken: no JSON object with a time, left out\n"
    )


def test_search_speaks_json(access: Path) -> None:
    shown, said = search(
        *("--log", "access.json", "--report", "who", "--format", "json"), cwd=access.parent
    )
    told = json.loads(shown)
    assert (told["matched"], told["broken_lines"], said) == (2, 1, "")
    assert told["data"][1] == {
        **{"team": "sales", "project": "site", "key": "crm-1", "model": "small"},
        **{"first": at(3), "last": at(3), "calls": 1},
        **{"input_tokens": 10, "output_tokens": 12, "cost_usd": 8.7e-06},
    }


def test_search_speaks_csv_that_no_spreadsheet_runs(access: Path) -> None:
    for limit in ("100", "0"):
        shown, said = search(
            *("--log", "access.json", "--limit", limit, "--format", "csv"), cwd=access.parent
        )
        rows = {row["request_id"]: row for row in csv.DictReader(io.StringIO(shown))}
        assert sorted(rows) == ["a", "b", "c"]
        assert (rows["b"]["reason"], rows["a"]["cost_usd"]) == ("'=cmd", "0.0000087")
        assert "1 line is broken" in said


def test_search_finds_denials_and_spikes(access: Path) -> None:
    shown, _ = search("--log", "access.json", "--report", "denials", cwd=access.parent)
    assert shown.splitlines()[1].split()[:3] == ["budget_exceeded", "marketing", "web-1"]
    shown, said = search("--log", "access.json", "--report", "spikes", cwd=access.parent)
    assert (shown, said.splitlines()[0]) == ("", "nothing matches")


def test_search_takes_every_filter_and_a_span(access: Path) -> None:
    filters = "--key web-* --team marketing --project site --model small --env prod"
    words = ["--log", "*.json", *filters.split(), "--decision", "allowed"]
    span = ["--from", "2026-11-01", "--to", "2026-11-02", "--format", "json"]
    shown, _ = search(*words, *span, cwd=access.parent)
    assert [row["request_id"] for row in json.loads(shown)["data"]] == ["a"]


def test_search_finds_actions_in_the_audit_log(path: Path) -> None:
    shown, _ = search("--audit", "audit.json*", cwd=path.parent)
    head, first, *_ = shown.splitlines()
    assert head.split() == ["seq", "time", "actor", "action", "target", "outcome", "code"]
    assert first.split()[0] == "3"
    asked = ["--actor", "jane@*", "--action", "key.block", "--target", "key:web-2"]
    shown, _ = search("--audit", "audit.json", *asked, "--format", "json", cwd=path.parent)
    [row] = json.loads(shown)["data"]
    assert (row["seq"], row["after"]) == (2, {"blocked": True})


def test_search_finds_the_logs_of_the_gateway_that_runs_here(access: Path, path: Path) -> None:
    run = access.parent / ".run"
    run.mkdir()
    facts = {"access_log": str(access), "audit_log": str(path)}
    (run / "up.json").write_text(json.dumps(facts))
    assert "crm-1" in search(cwd=access.parent)[0]
    assert "key:web-3" in search("--report", "actions", cwd=access.parent)[0]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("", "give --log"),
        ("--report actions", "give --audit"),
        ("--log no-such", "no-such is not a file that can be read"),
        ("--log access.json --from soon", "'soon' is not a time"),
        ("--log access.json --from 1d --to 2d", "nothing is between 1d and 2d"),
        ("--log access.json --actor jane --report who", "--actor is of the audit log"),
        ("--audit access.json --key web-1", "--key is of the access log"),
        ("--audit access.json --report who", "--audit is not for --report who"),
        ("--log access.json --report actions", "--log is not for --report actions"),
        ("--log access.json --limit 0", "--limit 0, for all, is for"),
        ("--log damaged.gz", "a log cannot be read"),
    ],
)
def test_search_says_what_it_cannot_do(words: str, said: str, access: Path) -> None:
    write_calls(access.with_name("damaged.gz"), *(call() for _ in range(9)))
    damaged = access.with_name("damaged.gz")
    damaged.write_bytes(damaged.read_bytes()[:-20])
    shown = tollhouse("audit", "search", *words.split(), cwd=access.parent)
    assert said in shown.stderr
    assert "Traceback" not in shown.stderr
    assert shown.returncode == 2


def test_without_the_console_extra_search_says_how_to_install_it(access: Path) -> None:
    missing = access.with_name("duckdb.py")
    missing.write_text("raise ModuleNotFoundError('No module', name='duckdb')")
    shown = run(argv("audit", "search", "--log", str(access)), cwd=access.parent)
    assert shown.stderr == "error: duckdb is not installed: pip install 'tollhouse[console]'\n"
    assert shown.returncode == 2


def test_the_table_shows_no_control_character_that_a_client_sent(tmp_path: Path) -> None:
    write_calls(tmp_path / "access.json", call(alias="\x1b[2Jsmall"))
    shown, _ = search("--log", "access.json", cwd=tmp_path)
    assert "\x1b" not in shown
    assert "�[2Jsmall" in shown
