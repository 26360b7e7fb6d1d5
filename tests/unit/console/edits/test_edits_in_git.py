"""Edits become commits where that is asked for, and patches where the directory is read-only."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from console.actors import Actor
from console.edits.editor import PolicyEditor
from console.edits.git import GitCommits
from console.edits.teams import Teams
from console.problems import ManageError
from console.shapes.keys import KeyBlock, KeyCreate, KeyPatch, KeyRotate
from console.shapes.levels import TeamCreate, TeamPatch
from console.shapes.reading import read_fields
from console.shapes.tokens import TokenCreate
from tests.unit.console.edits.builders import ADMIN, Managed

Files = Callable[[], dict[str, bytes]]
GIT = shutil.which("git") or "git"
OWNER = TeamPatch(owner="someone")
KEY = KeyCreate(team="web", project="site", env="prod", expires="2030-01-01")


def git(directory: Path, *arguments: str) -> str:
    who = ("-c", "user.name=A", "-c", "user.email=a@example.com")
    done = subprocess.run(
        [GIT, *who, "-C", str(directory), *arguments],
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout


@pytest.fixture
def teams(managed: Managed) -> Teams:
    """Of a policy that is a folder of a repository, whose edits are committed."""
    above = managed.directory.parent
    git(above, "init", "--quiet", "--initial-branch=main")
    git(above, "add", "--all")
    git(above, "commit", "--quiet", "--message=begin")
    editor = PolicyEditor(managed.directory, git=GitCommits(managed.directory))
    return Teams(managed.reader, editor)


def test_an_edit_is_a_commit_of_its_files_alone(teams: Teams, directory: Path) -> None:
    (directory / "org.yaml").write_text("org: staged\n")
    git(directory, "add", "org.yaml")
    (directory / "models.yaml").write_text((directory / "models.yaml").read_text() + "# mine\n")
    made = teams.create(ADMIN, TeamCreate(team="new"))
    teams.patch(Actor("<x>\n--amend", "admin", None, "sso"), "web", OWNER)
    gone = teams.delete(ADMIN, "new")
    assert (made.warnings, gone.warnings) == ([], [])
    assert git(directory, "log", "--format=%an|%s", "--name-status").split("\n\n") == [
        "root via Tollhouse|team.delete new",
        "D\tpolicies/teams/new.yaml\nx  --amend via Tollhouse|team.change web",
        "M\tpolicies/teams/web.yaml\nroot via Tollhouse|team.create new",
        "A\tpolicies/teams/new.yaml\nA|begin",
        git(directory, "log", "-1", "--format=", "--name-status", ":/begin"),
    ]
    status = git(directory, "status", "--porcelain", "--untracked-files=no")
    assert status == " M policies/models.yaml\nM  policies/org.yaml\n"


def test_a_repository_in_the_middle_of_a_merge_is_left_to_its_owner(
    teams: Teams, directory: Path
) -> None:
    head = git(directory, "rev-parse", "HEAD")
    (directory.parent / ".git/MERGE_HEAD").write_text(head)
    view = teams.patch(ADMIN, "web", OWNER)
    assert view.warnings == [
        "the edit is made, and not committed: the repository is in the middle of a merge: end it,"
        " then commit"
    ]
    assert view.owner == "someone"
    assert git(directory, "rev-parse", "HEAD") == head


def test_what_somebody_changed_by_hand_is_not_committed_under_the_name_of_another(
    teams: Teams, directory: Path
) -> None:
    head, file = git(directory, "rev-parse", "HEAD"), directory / "teams/web.yaml"
    file.write_text(file.read_text() + "# by hand\n")
    view = teams.patch(ADMIN, "web", OWNER)
    assert view.warnings == [
        "the edit is made, and not committed: teams/web.yaml has changes that nobody committed:"
        " commit them, then the next edit is committed too"
    ]
    assert (view.owner, git(directory, "rev-parse", "HEAD")) == ("someone", head)
    (directory / "teams/new.yaml").write_text("team: new\n")
    (warning,) = teams.patch(ADMIN, "new", OWNER).warnings
    assert "teams/new.yaml has changes that nobody committed" in warning
    git(directory, "add", "--all")
    git(directory, "commit", "--quiet", "--message=mine")
    assert teams.patch(ADMIN, "web", TeamPatch(owner="else")).warnings == []
    assert git(directory, "status", "--porcelain") == ""


def test_line_ends_that_git_converts_are_no_change(teams: Teams, directory: Path) -> None:
    (directory / ".gitattributes").write_text("*.yaml text eol=crlf\n")
    file = directory / "teams/web.yaml"
    file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    git(directory, "add", "--all")
    git(directory, "commit", "--quiet", "--message=ends")
    assert teams.patch(ADMIN, "web", OWNER).warnings == []


def test_an_edit_stays_when_git_does_not_take_it(
    teams: Teams, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (directory.parent / ".git/index.lock").touch()
    (warning,) = teams.patch(ADMIN, "web", OWNER).warnings
    assert warning.startswith("the edit is made, and not committed: git: fatal: Unable to create")
    assert "edit not committed" in caplog.text
    assert "owner: someone" in (directory / "teams/web.yaml").read_text()


def test_a_directory_outside_of_git_is_said(managed: Managed) -> None:
    editor = PolicyEditor(managed.directory, git=GitCommits(managed.directory))
    (warning,) = Teams(managed.reader, editor).patch(ADMIN, "web", OWNER).warnings
    assert "not a git repository" in warning


def read_only(directory: Path, how: str) -> None:
    """Root writes where it wants to: what stands in the way has to be in the way of root, too."""
    if how == "lock":
        (directory / ".tollhouse.lock").mkdir()
        return
    mounted = directory.parent / "mounted"
    (directory / "teams").rename(mounted)
    (directory / "teams").symlink_to(mounted)


def refused(work: Callable[[], object]) -> ManageError:
    with pytest.raises(ManageError) as error:
        work()
    assert (error.value.code, error.value.status) == ("policy_read_only", 409)
    return error.value


@pytest.mark.parametrize("how", ["lock", "link"])
@pytest.mark.parametrize("tool", [[GIT, "apply"], ["patch", "-p1", "--quiet"]])
def test_where_nothing_can_be_written_a_patch_says_what_would_be(
    managed: Managed, tmp_path: Path, how: str, tool: list[str]
) -> None:
    checkout = tmp_path / "checkout"
    (managed.directory / "teams/ops.yaml").write_text(
        managed.text("teams/ops.yaml").replace("\n", "\r\n").removesuffix("\r\n")
    )
    shutil.copytree(managed.directory, checkout)
    read_only(managed.directory, how)
    twin = Managed(checkout)
    works: list[Callable[[Managed], object]] = [
        lambda it: it.keys.patch(ADMIN, "web-1", KeyPatch(metadata={"x": 1})),
        lambda it: it.keys.block(ADMIN, "ops-1", KeyBlock()),
        lambda it: it.teams.create(ADMIN, TeamCreate(team="new", owner="é")),
        lambda it: it.keys.delete(ADMIN, "ops-1"),
    ]
    for work in works:
        error = refused(lambda work=work: work(managed))  # type: ignore[misc]
        assert "git apply" in error.message
        again = tmp_path / "again"
        shutil.copytree(checkout, again)
        text = error.details["patch"].encode()
        subprocess.run(tool, input=text, cwd=again, check=True, timeout=30)
        work(twin)
        for name in sorted(path.name for path in (checkout / "teams").iterdir()):
            assert (again / "teams" / name).read_bytes() == (checkout / "teams" / name).read_bytes()
        shutil.rmtree(again)
        shutil.rmtree(checkout)
        shutil.copytree(managed.directory, checkout, ignore=shutil.ignore_patterns(".toll*"))


def test_a_deleted_file_is_a_patch_too(managed: Managed, tmp_path: Path) -> None:
    managed.keys.delete(ADMIN, "ops-1")
    copy = shutil.copytree(managed.directory, tmp_path / "copy")
    (managed.directory / ".tollhouse.lock").unlink()
    read_only(managed.directory, "lock")
    error = refused(lambda: managed.teams.delete(ADMIN, "ops"))
    text = error.details["patch"].encode()
    subprocess.run([GIT, "apply"], input=text, cwd=copy, check=True, timeout=30)
    assert not (copy / "teams/ops.yaml").exists()


def without_digits(command: str) -> str:
    """Of a key's id those of its hash."""
    return re.sub(r"prod-[0-9a-f]{6} ", "prod-… ", command)


def test_what_mints_is_a_command_to_run_in_a_checkout(managed: Managed) -> None:
    read_only(managed.directory, "lock")
    for work, command in [
        (
            lambda: managed.keys.create(
                ADMIN, KEY.model_copy(update={"allowed_models": ["small", "large"]})
            ),
            "tollhouse keys new web-site-prod-… --team web --project site --env prod"
            " --expires 2030-01-01 --allowed-models small,large",
        ),
        (
            lambda: managed.keys.rotate(ADMIN, "web-1", KeyRotate(overlap="1d")),
            "tollhouse keys rotate web-1 --overlap 1d",
        ),
        (
            lambda: managed.tokens.create(
                ADMIN, TokenCreate(id="new", role="viewer", teams=["web", "ops"], expires="1d")
            ),
            "tollhouse tokens new new --role viewer --teams web,ops --expires 2026-11-29T12:00:00Z",
        ),
    ]:
        error = refused(work)
        shown = error.details["command"]
        assert without_digits(shown) == command
        assert error.message.endswith(f"In a checkout of it run: {shown}")
        assert managed.planned == []


def test_what_would_be_refused_is_refused_as_such_in_a_read_only_directory_too(
    managed: Managed, files: Files
) -> None:
    read_only(managed.directory, "lock")
    with pytest.raises(ManageError) as error:
        managed.keys.patch(ADMIN, "web-1", KeyPatch(allowed_models=["meta/llama:3"]))
    assert error.value.code == "exceeds_level"
    before = files()
    refused(lambda: managed.keys.patch(ADMIN, "web-1", KeyPatch(expires="30d")))
    assert files() == before


def test_what_the_command_has_no_words_for_is_said_beside_it(managed: Managed) -> None:
    read_only(managed.directory, "lock")
    asked = read_fields(
        KeyCreate,
        {
            **{"team": "web", "project": "site", "env": "prod", "denied_models": ["large"]},
            "limits": {"monthly_spend_usd": "2.50"},
            "metadata": {"owner": "ann", "x": True},
        },
    )
    error = refused(lambda: managed.keys.create(ADMIN, asked))
    command = without_digits(error.details["command"])
    assert {**error.details, "command": command} == {
        "command": "tollhouse keys new web-site-prod-… --team web --project site --env prod"
        " --owner ann",
        "then": "denied_models: [large]\nlimits: {monthly_spend_usd: 2.50}\nmetadata: {x: true}",
    }
