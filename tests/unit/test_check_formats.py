"""What `tollhouse check` prints for scripts and for GitHub, and its exit status."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.policy import write_tree
from tollhouse.policy.problems import PolicyProblem
from tollhouse.policy.report import github_lines

BAD = "team: web\nprojects:\n  site:\n    allowed_models: [smal]\n"
OWNED = "org: acme\nowner: a@example.com\n"


def check(tree: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tollhouse", "check", tree.name, *options]
    return subprocess.run(
        command, cwd=tree.parent, capture_output=True, check=False, text=True, timeout=60
    )


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    return write_tree(tmp_path / "tree", org=OWNED, teams__web=BAD)


@pytest.fixture
def suspicious(tmp_path: Path) -> Path:
    """One warning: nobody uses the tag."""
    return write_tree(tmp_path / "tree", org=OWNED)


def test_json_lists_errors_with_place_and_code_and_no_version(bad: Path) -> None:
    shown = check(bad, "--format", "json")
    told: dict[str, Any] = json.loads(shown.stdout)
    assert shown.returncode == 1
    assert told == {
        "version": None,
        "errors": [
            {
                "file": "tree/teams/web.yaml",
                "line": 4,
                "column": 22,
                "code": "invalid",
                "message": "unknown model 'smal': did you mean 'small'?",
            }
        ],
        "warnings": [],
    }


def test_json_of_a_good_policy_has_its_version_and_its_warnings(suspicious: Path) -> None:
    shown = check(suspicious, "--format", "json")
    told: dict[str, Any] = json.loads(shown.stdout)
    assert (shown.returncode, told["errors"], len(told["version"])) == (0, [], 12)
    assert [each["code"] for each in told["warnings"]] == ["tag-unused"]


def test_github_is_told_the_line_of_each_problem(bad: Path) -> None:
    shown = check(bad, "--format", "github")
    assert shown.returncode == 1
    assert shown.stdout.splitlines()[0] == (
        "::error file=tree/teams/web.yaml,line=4,col=22,title=invalid"
        "::unknown model 'smal': did you mean 'small'?"
    )


@pytest.mark.parametrize(("options", "status"), [((), 0), (("--strict",), 1)])
def test_a_warning_fails_where_that_is_asked_for(
    suspicious: Path, options: tuple[str, ...], status: int
) -> None:
    shown = check(suspicious, *options)
    assert shown.returncode == status
    assert ": warning: " in shown.stderr and "[tag-unused]" in shown.stderr
    assert "1 warning(s)" in shown.stdout


def test_a_format_that_there_is_not_is_a_wrong_usage(suspicious: Path) -> None:
    assert check(suspicious, "--format", "xml").returncode == 2


@given(st.text(), st.text())
def test_no_name_and_no_message_can_end_a_workflow_command(file: str, message: str) -> None:
    (line,) = github_lines("tree", [PolicyProblem(file, 1, 1, message)], [])
    assert "\n" not in line and "\r" not in line
    head, _, data = line.removeprefix("::error ").partition("::")
    assert head.count(",") == 3
    assert data.replace("%0A", "\n").replace("%0D", "\r").replace("%25", "%") == message
