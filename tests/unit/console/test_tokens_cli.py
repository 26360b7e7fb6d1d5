"""`tollhouse tokens`, as real processes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.policy import write_tree
from tollhouse.keys import sha256_hex
from tollhouse.policy.compiler import load_snapshot
from tollhouse.policy.management import ManagementToken


def tollhouse(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tollhouse", "tokens", *words],
        capture_output=True,
        text=True,
        check=False,
    )


def tokens(policies: Path) -> dict[str, ManagementToken]:
    management = load_snapshot(policies).management
    return dict(management.tokens) if management else {}


def test_the_first_token_makes_the_file_and_later_ones_leave_comments_alone(tmp_path: Path):
    policies = write_tree(tmp_path)
    first = tollhouse("new", "ops", "--role", "admin", "--policies", str(policies))
    assert first.returncode == 0, first.stderr
    token = first.stderr.splitlines()[0]
    assert tokens(policies)["ops"].sha256 == sha256_hex(token)
    assert token not in first.stdout
    file = policies / "management.yaml"
    file.write_text(file.read_text() + "# the end\n")
    made = tollhouse(
        *("new", "lead", "--role", "team-lead", "--teams", "web", "--expires", "2030-12-31"),
        *("--policies", str(policies), "--json"),
    )
    assert json.loads(made.stdout)["token"].startswith("tlm_")
    assert tokens(policies)["lead"].teams == frozenset({"web"})
    assert "# the end\n" in file.read_text()


def test_tokens_are_listed_and_deleted(tmp_path: Path):
    policies = write_tree(tmp_path)
    for name in ("a", "b"):
        tollhouse("new", name, "--role", "viewer", "--policies", str(policies))
    assert tollhouse("list", "--policies", str(policies)).stdout.splitlines() == [
        "a: viewer, all teams, never expires",
        "b: viewer, all teams, never expires",
    ]
    assert tollhouse("delete", "a", "--policies", str(policies)).stdout == "a is deleted\n"
    assert list(tokens(policies)) == ["b"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["new", "x", "--role", "team-lead"], "a team-lead needs 'teams'"),
        (["new", "x", "--role", "viewer", "--teams", "wep"], "there is no such team: did you mean"),
        (["new", "x", "--role", "admin", "--teams", "web"], "'admin' is for the whole org"),
        (["new", "x", "--role", "admin", "--expires", "soon"], "'expires'"),
        (["new", "tlm_x", "--role", "admin"], "'id' looks like a key"),
        (["delete", "x"], "there is no such token"),
    ],
)
def test_what_cannot_be_is_said_and_nothing_is_made(words: list[str], said: str, tmp_path: Path):
    policies = write_tree(tmp_path, management="tokens: []\n")
    done = tollhouse(*words, "--policies", str(policies))
    assert done.returncode == 1
    assert said in done.stderr
    assert "tlm_" not in done.stderr.replace("tlm_x", "")
    assert tokens(policies) == {}
