"""`tollhouse audit`, run as its users run it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from builders import lines, write
from redis import Redis

from console.audit.kept_head import KeptHead
from tests.unit.test_cli import tollhouse


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
