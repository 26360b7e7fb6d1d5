"""`tollhouse keys …`, run as its users run it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.policy import KEY, TREE, write_tree
from tests.unit.test_cli import argv, tollhouse
from tollhouse import keys
from tollhouse.policy.compiler import load_snapshot

IN_FORCE = "within 2 seconds where a gateway reads this directory"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """The directory that has policies/."""
    write_tree(tmp_path / "policies")
    return tmp_path


def test_a_key_lives_through_its_commands_and_each_says_what_it_did(place: Path) -> None:
    def run(*words: str) -> tuple[str, str]:
        shown = tollhouse("keys", *words, cwd=place)
        assert shown.returncode == 0, shown.stderr
        return shown.stdout, shown.stderr

    said, key = run("new", "web-2", "--team", "web", "--project", "site", "--owner", "ann")
    assert said == f"policies/teams/web.yaml:8: the key web-2 of web/site works {IN_FORCE}\n"
    [made] = re.findall(r"tlh_\w+", key)
    assert load_snapshot(place / "policies").keys_by_hash[keys.sha256_hex(made)].id == "web-2"
    said, key = run("rotate", "web-2", "--overlap", "2h")
    assert "the new key of web-2 works, and the old key is valid until 20" in said
    assert len(re.findall(r"tlh_\w+", key)) == 1
    rotated = json.loads(run("rotate", "web-2", "--overlap", "0", "--json")[0])
    assert (rotated["id"], len(rotated["previous"])) == ("web-2", 1)
    said, _ = run("block", "web-2", "--reason", "leaked")
    assert said == f"policies/teams/web.yaml:8: web-2 is blocked, in force {IN_FORCE}\n"
    assert "web-2 is blocked already: nothing to do" in run("block", "web-2")[0]
    assert "note: web-2 is blocked: leaked" in run("rotate", "web-2", "--overlap", "0")[1]
    assert "web-2 is no longer blocked" in run("unblock", "web-2")[0]
    assert "web-2 is not blocked itself: nothing to do" in run("unblock", "web-2")[0]
    assert (
        "web-2 expires at 2031-01-01 00:00:00 UTC"
        in run("expire", "web-2", "--at", "2030-12-31")[0]
    )
    assert "web-2 has expired at 20" in run("expire", "web-2", "--at", "now")[0]
    listed = json.loads(run("list", "--state", "expired", "--format", "json")[0])
    assert [each["id"] for each in listed] == ["web-2"]
    assert "web-2 never expires" in run("expire", "web-2", "--at", "never")[0]
    assert run("list")[0].splitlines()[0].startswith("ID ")


@pytest.mark.parametrize(
    ("text", "status", "said"),
    [
        (KEY, 0, "web-1 (team web, project site): active; never expires\n"),
        (f"  {KEY}\n\n", 0, "web-1 (team web, project site): active; never expires\n"),
        (KEY + "x", 1, "mistyped: the checksum of this tlh_ key is wrong\n"),
        ("sk-other", 1, "unknown: no key of this policy, nor one that it still remembers\n"),
    ],
)
def test_a_key_is_identified_from_standard_input(
    place: Path, text: str, status: int, said: str
) -> None:
    command = argv("keys", "identify")
    shown = subprocess.run(
        command, input=text, capture_output=True, text=True, cwd=place, check=False, timeout=60
    )
    assert (shown.returncode, shown.stdout, shown.stderr) == (status, said, "")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["new", "a", "--team", "web"], "--team and --project go together: give both"),
        (["new", "a", "--expires", "2020-01-01"], "'2020-01-01' is past"),
        (["new", "a", "--team", "wep", "--project", "x"], "no team 'wep': did you mean 'web'?"),
        (["rotate", "web-1", "--overlap", "long"], "'long' is not a duration: write 12h"),
        (["block", "web-9"], "there is no key 'web-9': did you mean 'web-1'?"),
        (["expire", "web-1", "--at", "soon"], "'soon' is not a date: write YYYY-MM-DD"),
        (["list", "--policies", "nowhere"], "nowhere:1:1: not a directory that can be read"),
        (["block", "web-1", "--policies", "nowhere"], "nowhere is not a directory"),
        (["identify"], "no key on standard input"),
    ],
)
def test_what_cannot_be_done_changes_nothing_and_says_why(
    place: Path, words: list[str], said: str
) -> None:
    shown = subprocess.run(
        argv("keys", *words), input="", capture_output=True, text=True, cwd=place, check=False
    )
    assert said in shown.stderr
    assert (shown.returncode, shown.stdout, "tlh_" in shown.stderr) == (1, "", False)
    assert (place / "policies/teams/web.yaml").read_text() == TREE["teams/web.yaml"]


_NEW = """
import sys
from pathlib import Path
from tollhouse.keyring.actions import new
for number in range(3):
    new(Path("policies"), "web", "site", None, {"id": f"key-{sys.argv[1]}-{number}"})
"""


def test_twenty_writers_at_once_lose_no_key(place: Path) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", _NEW, str(number)], cwd=place)
        for number in range(20)
    ]
    assert [writer.wait(timeout=120) for writer in writers] == [0] * 20
    assert len(load_snapshot(place / "policies").keys) == 61
