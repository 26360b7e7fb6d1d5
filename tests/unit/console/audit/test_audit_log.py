"""Appending to the audit log: what a record is, crashes, rotation, and many writers."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from builders import ADMIN, NOW, entry, lines, write

from console.actors import Actor
from console.audit import files
from console.audit.errors import AuditUnavailable
from console.audit.head import read_head
from console.audit.log import AuditLog
from console.audit.record import GENESIS, Entry, Head
from console.audit.verify import verify
from tollhouse import keys

WRITERS, EACH = 20, 25


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.json"


def append(path: Path, what: Entry | None = None) -> None:
    AuditLog(path, now=lambda: NOW).append(what or entry())


def is_good(*paths: Path) -> bool:
    verdict = verify(paths)
    assert verdict.is_good, verdict.findings
    return True


# A record


def test_a_record_says_who_did_what_from_where_and_what_changed(path: Path) -> None:
    [record] = write(path)
    assert [json.loads(line) for line in lines(path)] == [record.fields]
    assert record.fields == {
        "seq": 1,
        "time": "2026-11-28T09:06:08.307Z",
        "actor": {"id": "jane@example.com", "role": "admin", "via": "sso"},
        "action": "key.block",
        "target": "key:web-1",
        "outcome": "allowed",
        "code": None,
        "before": {"blocked": False},
        "after": {"blocked": True},
        "client_address": "10.1.2.3",
        "request_id": "98b46c24-8b0d-49d7-9d0d-b4cebabe6b91",
        "policy_before": "bba6d432694b",
        "policy_after": "0c4d3e2f1a0b",
        "previous_hash": GENESIS,
        "hash": record.hash,
    }


def test_a_record_without_an_actor_is_one_of_nobody_known(path: Path) -> None:
    append(path, Entry("sign_in", "console", "refused", code="invalid_token"))
    [record] = map(json.loads, lines(path))
    assert (record["actor"], record["code"]) == (None, "invalid_token")


def test_the_hash_is_what_the_recipe_says(path: Path) -> None:
    for record, line in zip(write(path, 3), lines(path), strict=True):
        text = line.rstrip(b"\n")[:-75] + b"}"
        assert line.endswith(b',"hash":"' + record.hash.encode() + b'"}\n')
        previous = record.fields["previous_hash"].encode()
        assert hashlib.sha256(previous + text).hexdigest() == record.hash


def test_the_recipe_works_in_a_shell(path: Path) -> None:
    write(path, 3)
    recipe = r"""
        previous=$(printf %064d 0)
        while IFS= read -r line; do
          text=$(printf %s "$line" | sed 's/,"hash":"[0-9a-f]*"}$/}/')
          hash=$(printf %s%s "$previous" "$text" | sha256sum | cut -c1-64)
          case $line in *",\"previous_hash\":\"$previous\",\"hash\":\"$hash\"}") ;; *) exit 1;; esac
          previous=$hash
        done
        echo "$previous"
    """
    shell = ["/bin/sh", "-c", recipe]
    done = subprocess.run(shell, input=path.read_bytes(), capture_output=True, check=True)
    assert done.stdout.decode().strip() == json.loads(lines(path)[-1])["hash"]


def test_every_record_continues_the_one_before(path: Path) -> None:
    records = write(path, 3)
    assert [record.seq for record in records] == [1, 2, 3]
    hashes = [GENESIS, *(record.hash for record in records[:-1])]
    assert [record.fields["previous_hash"] for record in records] == hashes


def test_no_key_reaches_the_log_by_any_member(path: Path) -> None:
    key = keys.with_checksum("0" * 32)
    said = Entry(
        f"key.{key}",
        f"key:{key}",
        "refused",
        ADMIN.__class__(key, "admin", None, "token"),
        code=key,
        before={"a": key},
        after={"b": [key], key: 1, "sha256": keys.sha256_hex(key)},
        client_address=key,
        request_id=key,
        policy_before=key,
        policy_after=key,
    )
    append(path, said)
    assert key not in path.read_text()
    assert keys.sha256_hex(key) not in path.read_text()


def test_a_text_that_utf_8_cannot_hold_is_recorded(path: Path) -> None:
    append(path, entry("key:\ud800\n\u2028é"))
    assert len(path.read_bytes().split(b"\n")) == 2
    assert is_good(path)


def test_the_files_are_for_their_owner_and_a_group_that_reads(path: Path) -> None:
    before = os.umask(0o077)
    try:
        write(path)
    finally:
        os.umask(before)
    for name in ("audit.json", "audit.head"):
        assert (path.parent / name).stat().st_mode & 0o777 == 0o640
    # Who can read a file can hold its lock.
    assert (path.parent / "audit.lock").stat().st_mode & 0o777 == 0o600


def test_a_lock_that_somebody_holds_makes_the_log_unavailable_and_not_wait_for_ever(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "LOCK_SECONDS", 0.05)
    write(path)
    with path.with_suffix(".lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        with pytest.raises(AuditUnavailable, match="somebody holds its lock"):
            AuditLog(path).append(entry())
    AuditLog(path).append(entry())


@pytest.mark.parametrize("name", ["x-sk-evil", "eyJhack", "tlz_backdoor1", "ab" * 32])
def test_a_name_that_looks_like_a_secret_hides_nobody(path: Path, name: str) -> None:
    actor = Actor(name, "admin", None, "token")
    record = AuditLog(path).append(Entry("key.create", f"key:{name}", "allowed", actor))
    assert record.fields["actor"]["id"] == name
    assert record.fields["target"] == f"key:{name}"


def test_a_key_is_hidden_even_where_a_name_belongs(path: Path) -> None:
    record = AuditLog(path).append(Entry("key.create", f"key:{keys.generate()}", "refused"))
    assert record.fields["target"] == "key:hidden#1"


def test_every_head_is_told_to_whom_it_may_concern(path: Path) -> None:
    told: list[Head] = []
    log = AuditLog(path, on_head=told.append)
    assert [log.append(entry()).head, log.append(entry()).head] == told
    assert read_head(path.with_suffix(".head")) == told[-1]


def test_appending_to_a_long_log_reads_only_its_end(path: Path) -> None:
    [first] = write(path)
    # A hole, as large as a log of years: to read it would take minutes.
    with path.open("r+b") as file:
        line = file.read()
        file.truncate(1 << 38)
        file.seek(0, os.SEEK_END)
        file.write(b"\n" + line)
    began = time.monotonic()
    append(path)
    print(f"appending to 256 GB took {(time.monotonic() - began) * 1e3:.1f} ms")
    head = read_head(path.with_suffix(".head"))
    assert head is not None
    assert head.seq == first.seq + 1


def test_a_record_longer_than_a_block_is_continued(path: Path) -> None:
    append(path, Entry("policy.changed", "policy", "allowed", after={"diff": "x" * 300_000}))
    append(path)
    assert [json.loads(line)["action"] for line in lines(path)] == ["policy.changed", "key.block"]
    assert is_good(path)


# What cannot be written


def test_where_nothing_can_be_written_the_caller_is_told(tmp_path: Path) -> None:
    with pytest.raises(AuditUnavailable, match="cannot be written: No such file or directory"):
        append(tmp_path / "missing" / "audit.json")
    (tmp_path / "audit.json").mkdir()
    with pytest.raises(AuditUnavailable, match="cannot be written: Is a directory"):
        append(tmp_path / "audit.json")


def test_on_a_full_disk_nothing_is_recorded_by_half(path: Path) -> None:
    write(path)
    before = path.read_bytes()
    program = f"""
import resource, signal, sys
from pathlib import Path
from builders import write
from console.audit.errors import AuditUnavailable
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({len(before) + 40}, -1))
try:
    write(Path(sys.argv[1]))
except AuditUnavailable:
    sys.exit(3)
"""
    with in_a_process(program, path) as process:
        assert process.wait() == 3
    assert path.read_bytes() == before
    append(path)
    assert is_good(path)


def test_a_record_whose_head_cannot_be_written_does_not_stay(path: Path) -> None:
    write(path)
    before = path.read_bytes()
    blocked = path.with_name("audit.head.new")
    blocked.mkdir()
    with pytest.raises(AuditUnavailable):
        append(path)
    assert path.read_bytes() == before
    blocked.rmdir()
    append(path)
    assert is_good(path)


def test_without_a_last_record_and_a_head_nothing_is_continued(path: Path) -> None:
    path.write_bytes(b"nonsense\n")
    with pytest.raises(AuditUnavailable, match=r"no record, and there is no audit\.head"):
        append(path)
    assert path.read_bytes() == b"nonsense\n"


def test_a_head_that_is_none_is_not_taken_for_the_start_of_a_log(path: Path) -> None:
    path.with_suffix(".head").write_text("nonsense")
    with pytest.raises(AuditUnavailable, match=r"audit\.head does not hold a seq and a hash"):
        append(path)


# After a crash


@pytest.mark.parametrize("kept", [1, 200, -1])
def test_a_torn_line_is_put_aside_and_a_record_says_so(path: Path, kept: int) -> None:
    write(path, 2)
    head = path.with_suffix(".head").read_bytes()
    append(path)
    torn = lines(path)[2][:kept]
    path.write_bytes(b"".join(lines(path)[:2]) + torn)
    path.with_suffix(".head").write_bytes(head)
    append(path)
    repair, after = map(json.loads, lines(path)[2:])
    assert (repair["action"], repair["seq"], after["seq"]) == ("log.repaired", 3, 4)
    assert repair["before"] == {"torn_bytes": len(torn), "put_aside": "audit.torn"}
    assert path.with_suffix(".torn").read_bytes() == torn + b"\n"
    assert is_good(path)
    assert "the log was repaired" in verify([path]).notes[0]


def test_a_record_whose_head_was_not_written_is_continued_and_a_record_says_so(path: Path) -> None:
    write(path)
    head = path.with_suffix(".head").read_bytes()
    append(path)
    path.with_suffix(".head").write_bytes(head)
    append(path)
    repair = json.loads(lines(path)[2])
    assert repair["before"] == {"last_record": 2, "head_record": 1}
    assert is_good(path)


def test_a_missing_head_is_written_again_and_a_record_says_so(path: Path) -> None:
    write(path)
    path.with_suffix(".head").unlink()
    append(path)
    assert json.loads(lines(path)[1])["before"] == {"last_record": 1, "head_record": None}
    assert is_good(path)


def test_a_cut_log_is_continued_so_that_the_gap_stays(path: Path) -> None:
    write(path, 3)
    path.write_bytes(b"".join(lines(path)[:1]))
    append(path)
    assert [json.loads(line)["seq"] for line in lines(path)] == [1, 4, 5]
    [finding] = verify([path]).findings
    assert str(finding) == f"{path}:2: follows record 1: records 2 to 3 were removed or moved"


def test_a_last_line_that_is_no_record_is_left_to_be_found(path: Path) -> None:
    write(path, 2)
    path.write_bytes(lines(path)[0] + b"nonsense\n")
    append(path)
    assert json.loads(lines(path)[2])["before"] == {"last_line": "not a record"}
    [finding] = verify([path]).findings
    assert str(finding) == f"{path}:2: was changed: it is no record"


# Rotation


@pytest.mark.parametrize("is_made_by_logrotate", [True, False])
def test_the_next_file_continues_the_chain(path: Path, is_made_by_logrotate: bool) -> None:
    write(path, 2)
    rotated = path.rename(path.with_name("audit.json.1"))
    if is_made_by_logrotate:
        path.touch()
    append(path)
    assert [json.loads(line)["seq"] for line in lines(path)] == [3]
    assert is_good(path, rotated)


# Many at once


def in_a_process(program: str, path: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", program, str(path)],
        cwd=Path(__file__).parents[4],
        env={**os.environ, "PYTHONPATH": f"{Path(__file__).parent}:."},
        stdin=subprocess.PIPE,
    )


def test_of_twenty_processes_that_append_at_once_no_record_is_lost(path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from builders import write;"
        f"sys.stdin.read(); write(Path(sys.argv[1]), {EACH})"
    )
    writers = [in_a_process(program, path) for _ in range(WRITERS)]
    began = time.monotonic()
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.close()
    assert [writer.wait() for writer in writers] == [0] * WRITERS
    took = time.monotonic() - began
    print(f"{WRITERS} processes, {WRITERS * EACH} records: {took:.2f} s")
    assert verify([path]).records == WRITERS * EACH
    assert is_good(path)
    targets = sorted(json.loads(line)["target"] for line in lines(path))
    assert targets == sorted([f"key:web-{n}" for n in range(1, EACH + 1)] * WRITERS)


def test_of_twenty_threads_with_one_log_no_record_is_lost(path: Path) -> None:
    log = AuditLog(path)
    with ThreadPoolExecutor(WRITERS) as pool:
        records = list(pool.map(lambda _: log.append(entry()), range(WRITERS * 5)))
    assert sorted(record.seq for record in records) == list(range(1, WRITERS * 5 + 1))
    assert is_good(path)


def test_a_log_that_is_appended_to_meanwhile_verifies_at_any_moment(path: Path) -> None:
    log = AuditLog(path)
    log.append(entry())
    with ThreadPoolExecutor(2) as pool:
        appending = [pool.submit(log.append, entry()) for _ in range(200)]
        while not all(each.done() for each in appending):
            assert is_good(path)


def test_a_lock_is_left_when_its_holder_ends(path: Path) -> None:
    with files.locked(path, exclusive=True):
        pass
    append(path)
    assert is_good(path)
