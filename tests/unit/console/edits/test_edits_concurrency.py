"""Many writers at once, and people's editors beside them: no update is lost."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from bench import big_policy
from console.problems import ManageError
from console.shapes.keys import KeyCreate, KeyPatch, KeyQuery
from tests.unit.console.edits.builders import ADMIN, WEB, Managed
from tollhouse.policy.compiler import load_snapshot
from tollhouse.policy.editing import replacing, swap
from tollhouse.policy.editing.draft import LOCK_FILE
from tollhouse.policy.editing.errors import MeanwhileError
from tollhouse.policy.editing.replacing import Rewrite

ROOT = Path(__file__).resolve().parents[4]
PROCESSES, THREADS, EDITS = 5, 4, 5
CREATE = KeyCreate(team="web", project="site", env="prod")

_WRITER = f"""
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tests.unit.console.edits.test_edits_concurrency import write
with ThreadPoolExecutor({THREADS}) as pool:
    list(pool.map(lambda n: write(Path(sys.argv[1]), f"{{sys.argv[2]}}-{{n}}"), range({THREADS})))
"""


def write(directory: Path, name: str) -> None:
    """One writer: a key of its own, a field of a key that all change, and a key that goes again."""
    managed = Managed(directory)
    for number in range(EDITS):
        managed.keys.create(ADMIN, CREATE.model_copy(update={"id": f"key-{name}-{number}"}))
        # A key has at most 64 names.
        shared = ("web-1", "web-2")[number % 2]
        managed.keys.patch(ADMIN, shared, KeyPatch(metadata={f"of-{name}-{number}": number}))
        if number % 2:
            managed.keys.delete(ADMIN, f"key-{name}-{number}")


def test_twenty_writers_in_threads_and_processes_lose_no_update(directory: Path) -> None:
    begun = time.monotonic()
    writers = [
        subprocess.Popen([sys.executable, "-c", _WRITER, str(directory), str(number)], cwd=ROOT)
        for number in range(PROCESSES)
    ]
    assert [writer.wait(timeout=300) for writer in writers] == [0] * PROCESSES
    took = time.monotonic() - begun
    snapshot = load_snapshot(directory)
    names = [
        f"{process}-{thread}-{number}"
        for process in range(PROCESSES)
        for thread in range(THREADS)
        for number in range(EDITS)
    ]
    left = {f"key-{name}" for name in names if not int(name[-1]) % 2}
    assert set(snapshot.keys) == {"web-1", "web-2", "ops-1", *left}
    metadata = {**snapshot.keys["web-1"].metadata, **snapshot.keys["web-2"].metadata}
    assert {name for name in metadata if name.startswith("of-")} == {f"of-{n}" for n in names}
    text = (directory / "teams/web.yaml").read_text()
    comments = [line.partition("#")[2] for line in WEB.splitlines() if "#" in line]
    assert [line.partition("#")[2] for line in text.splitlines() if "#" in line] == comments
    assert sorted(path.name for path in (directory / "teams").iterdir()) == ["ops.yaml", "web.yaml"]
    edits = len(names) * 2 + len(names) - len(left)
    print(f"{PROCESSES * THREADS} writers, {edits} edits in {took:.1f} s, none lost")


class Editor(threading.Thread):
    """Somebody who adds lines to a file and saves it by rename, again and again; like any good
    editor it asks before it overwrites what is not what it opened, and then opens it again."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.file, self.saved, self.conflicts = file, 0, 0
        self.enough = threading.Event()

    def run(self) -> None:
        beside = self.file.with_name(".editor")
        while not self.enough.is_set():
            before = self.file.read_text()
            after = f"{before}# line {self.saved} of the editor\n"
            beside.write_text(after)
            if swap.replace(beside, self.file, before, after):
                self.saved += 1
            else:
                self.conflicts += 1
            # Now and then they think, or on a slow machine no edit would ever come between.
            time.sleep(0.01 * (self.saved % 12))


def test_an_editor_that_saves_all_the_time_loses_nothing_and_neither_do_edits(
    managed: Managed,
) -> None:
    editor, made, given_up = Editor(managed.directory / "teams/web.yaml"), 0, 0
    editor.start()
    try:
        for number in range(100):
            asked = KeyPatch(metadata={f"edit-{number}": made})
            try:
                managed.keys.patch(ADMIN, ("web-1", "web-2")[number % 2], asked)
            except ManageError as error:
                assert (error.code, error.status) == ("edited_meanwhile", 409)
                given_up += 1
            else:
                made += 1
    finally:
        editor.enough.set()
        editor.join()
    text = managed.text("teams/web.yaml")
    lines = [line for line in text.splitlines() if line.endswith("of the editor")]
    assert lines == [f"# line {number} of the editor" for number in range(editor.saved)]
    keys = load_snapshot(managed.directory).keys
    metadata = [*keys["web-1"].metadata, *keys["web-2"].metadata]
    assert len([name for name in metadata if name.startswith("edit-")]) == made > 0
    assert made + given_up == 100
    print(
        f"edits: {made} made, {given_up} told to retry; the editor: {editor.saved} saves,"
        f" {editor.conflicts} conflicts; none lost"
    )


@pytest.mark.parametrize("cannot_swap", [False, True])
def test_a_save_at_the_last_moment_is_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cannot_swap: bool
) -> None:
    file = tmp_path / "org.yaml"
    file.write_text("old\n")
    look = swap.text_of
    if cannot_swap:
        monkeypatch.setattr(swap, "exchange", lambda *_: False)

    def saved_before_look(path: Path) -> str | None:
        if path == file:
            file.write_text("theirs\n")
        return look(path)

    def saved_after_look(path: Path) -> str | None:
        found = look(path)
        if path == file and found == "old\n":
            file.write_text("theirs\n")
        return found

    moments = [saved_before_look] if cannot_swap else [saved_before_look, saved_after_look]
    for moment in moments:
        file.write_text("old\n")
        with (
            pytest.raises(MeanwhileError, match="changed by somebody else meanwhile"),
            replacing.prepared(tmp_path, {"org.yaml": Rewrite("old\n", "ours\n")}) as ready,
        ):
            monkeypatch.setattr(swap, "text_of", moment)
            ready.put()
        monkeypatch.setattr(swap, "text_of", look)
        assert file.read_text() == "theirs\n"
        assert [path.name for path in tmp_path.iterdir()] == ["org.yaml"]
    with replacing.prepared(tmp_path, {"org.yaml": Rewrite("theirs\n", "ours\n")}) as ready:
        ready.put()
    assert file.read_text() == "ours\n"


def test_files_are_made_and_removed_unless_somebody_else_was_there(tmp_path: Path) -> None:
    with replacing.prepared(tmp_path, {"a.yaml": Rewrite(None, "ours\n")}) as ready:
        ready.put()
    with (
        pytest.raises(MeanwhileError),
        replacing.prepared(tmp_path, {"a.yaml": Rewrite(None, "again\n")}) as ready,
    ):
        ready.put()
    with (
        pytest.raises(MeanwhileError),
        replacing.prepared(tmp_path, {"a.yaml": Rewrite("other\n", None)}) as ready,
    ):
        ready.put()
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.yaml", "ours\n")]
    with replacing.prepared(tmp_path, {"a.yaml": Rewrite("ours\n", None)}) as ready:
        ready.put()
    assert list(tmp_path.iterdir()) == []


def test_an_edit_is_done_again_on_what_somebody_saved_and_judged_again(
    managed: Managed,
) -> None:
    file, seen = managed.directory / "teams/web.yaml", managed.keys.get(ADMIN, "web-1")
    saves = iter([WEB + "# theirs\n", WEB.replace("owner: ann", "owner: bo")])

    def save(_planned: object) -> None:
        file.write_text(next(saves, file.read_text()))

    undone: list[object] = []
    managed.editor._before_write, managed.editor._undone = save, undone.append
    with pytest.raises(ManageError) as error:
        managed.keys.patch(ADMIN, "web-1", KeyPatch(metadata={"x": 1}), f'"{seen.etag}"')
    assert error.value.code == "etag_mismatch"
    assert file.read_text() == WEB.replace("owner: ann", "owner: bo")
    assert len(undone) == 2


def test_what_is_written_or_was_never_told_is_not_undone(managed: Managed) -> None:
    undone: list[object] = []

    def fails(_planned: object) -> None:
        raise ManageError("audit_unavailable", "no")

    managed.editor._undone = undone.append
    managed.keys.patch(ADMIN, "web-1", KeyPatch(metadata={"x": 1}))
    managed.editor._before_write = fails
    with pytest.raises(ManageError):
        managed.keys.patch(ADMIN, "web-1", KeyPatch(metadata={"x": 2}))
    assert undone == []


def test_one_edit_of_ten_thousand_keys(tmp_path: Path) -> None:
    directory = big_policy.write(tmp_path, 50, 200)
    managed = Managed(directory)
    key_id = next(iter(load_snapshot(directory).keys))
    took = []
    for number in range(4):
        begun = time.monotonic()
        managed.keys.patch(ADMIN, key_id, KeyPatch(metadata={"n": number}))
        took.append(time.monotonic() - begun)
    begun = time.monotonic()
    page = managed.keys.list(ADMIN, KeyQuery(limit=500, sort="id"))
    listed = time.monotonic() - begun
    begun = time.monotonic()
    managed.keys.list(ADMIN, KeyQuery(limit=500, sort="id"))
    print(
        f"10,000 keys: the first edit {took[0]:.2f} s, later ones {took[1]:.2f} {took[2]:.2f}"
        f" {took[3]:.2f} s; lists {listed:.2f} {time.monotonic() - begun:.2f} s"
    )
    assert len(page.data) == 500
    assert not (directory / LOCK_FILE).read_bytes()
