"""A policy directory is changed as a whole, or not at all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.policy import SHA256, TREE, write_tree
from tollhouse.policy.compiler import load_snapshot
from tollhouse.policy.editing import draft as draft_module
from tollhouse.policy.editing.draft import LOCK_FILE, open_draft
from tollhouse.policy.editing.errors import EditError, LockedError, WouldBeRefused

KEY = ("projects", "site", "keys", 0)


def contents(directory: Path) -> dict[str, bytes]:
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file() and path.name != LOCK_FILE
    }


def test_an_edit_is_what_the_services_then_load(tmp_path: Path) -> None:
    write_tree(tmp_path)
    with open_draft(tmp_path) as draft:
        draft.set("teams/web.yaml", (*KEY, "blocked"), True)
        committed = draft.commit()
    assert load_snapshot(tmp_path) == committed
    assert committed.keys["web-1"].blocked_at == "key"
    assert contents(tmp_path).keys() == TREE.keys()


def test_an_edit_that_the_loader_refuses_changes_nothing_and_names_the_place(
    tmp_path: Path,
) -> None:
    before = contents(write_tree(tmp_path))
    with open_draft(tmp_path) as draft:
        draft.set("org.yaml", ("owner",), "somebody")
        draft.set("teams/web.yaml", ("projects", "site", "allowed_models"), ["smal"])
        with pytest.raises(WouldBeRefused) as refused:
            draft.commit()
    assert "teams/web.yaml:4:22: unknown model 'smal': did you mean 'small'?" in str(refused.value)
    assert contents(tmp_path) == before


def test_a_policy_that_is_wrong_already_is_not_edited(tmp_path: Path) -> None:
    write_tree(tmp_path, org="org: [")
    said = "wrong as it is, nothing was changed:\norg"
    with pytest.raises(WouldBeRefused, match=said), open_draft(tmp_path):
        pass


def test_what_an_editor_saved_meanwhile_is_kept(tmp_path: Path) -> None:
    file = write_tree(tmp_path) / "teams/web.yaml"
    with open_draft(tmp_path) as draft:
        draft.set("teams/web.yaml", (*KEY, "blocked"), True)
        file.write_text(TREE["teams/web.yaml"] + "# theirs\n")
        with pytest.raises(EditError, match="changed by somebody else meanwhile"):
            draft.commit()
    assert file.read_text().endswith("# theirs\n")


def test_a_file_is_made_once(tmp_path: Path) -> None:
    write_tree(tmp_path)
    with open_draft(tmp_path) as draft:
        draft.create("teams/ops.yaml", "team: ops\n")
        with pytest.raises(EditError, match="is there already"):
            draft.create("teams/web.yaml", "team: web\n")
        draft.commit()
    assert "ops" in load_snapshot(tmp_path).teams


def test_mode_owner_and_line_breaks_stay(tmp_path: Path) -> None:
    file = write_tree(tmp_path) / "teams/web.yaml"
    file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    file.chmod(0o640)
    before = file.stat()
    with open_draft(tmp_path) as draft:
        draft.set("teams/web.yaml", (*KEY, "blocked"), True)
        draft.commit()
    after = file.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (
        before.st_mode,
        before.st_uid,
        before.st_gid,
    )
    assert after.st_ino != before.st_ino
    assert file.read_bytes().count(b"\r\n") == file.read_bytes().count(b"\n") == 8


@pytest.mark.parametrize("linked", ["teams", "teams/web.yaml"])
def test_a_link_is_refused_with_where_to_change_it(tmp_path: Path, linked: str) -> None:
    policies = write_tree(tmp_path / "policies")
    (policies / linked).rename(tmp_path / "data")
    (policies / linked).symlink_to(tmp_path / "data")
    with (
        open_draft(policies) as draft,
        pytest.raises(EditError, match="in Git or in the ConfigMap"),
    ):
        draft.set("teams/web.yaml", (*KEY, "blocked"), True)
        draft.commit()


@pytest.mark.parametrize(
    ("directory", "said"),
    [
        # Nobody can make a file there, not even root.
        (
            "/sys/kernel",
            "/sys/kernel cannot be written (.*), nothing was changed: change the policy where",
        ),
        ("/nowhere", "/nowhere is not a directory that can be read"),
    ],
)
def test_a_directory_that_cannot_be_written_is_said(directory: str, said: str) -> None:
    with pytest.raises(EditError, match=said), open_draft(Path(directory)):
        pass


_KILLED = """
import os, signal, sys
from pathlib import Path
from tollhouse.policy.editing import swap
from tollhouse.policy.editing.draft import open_draft
swap.exchange = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
with open_draft(Path(sys.argv[1])) as draft:
    draft.set("teams/web.yaml", ("projects", "site", "keys", 0, "blocked"), True)
    draft.commit()
"""


def test_a_writer_killed_before_its_rename_changes_nothing_and_blocks_nobody(
    tmp_path: Path,
) -> None:
    write_tree(tmp_path)
    killed = subprocess.run([sys.executable, "-c", _KILLED, str(tmp_path)], check=False, timeout=60)
    assert killed.returncode == -9
    assert len(list((tmp_path / "teams").iterdir())) == 2
    assert load_snapshot(tmp_path).keys["web-1"].blocked_at is None
    with open_draft(tmp_path) as draft:
        draft.set("teams/web.yaml", (*KEY, "blocked"), True)
        assert draft.commit().keys["web-1"].sha256 == SHA256


def test_a_lock_that_somebody_holds_is_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(draft_module, "LOCK_SECONDS", 0.05)
    directory = write_tree(tmp_path)
    with open_draft(directory), pytest.raises(LockedError, match="is held by another edit"):
        open_draft(directory).__enter__()
