"""A policy tree in which every file carries the version it belongs to, so that a mixture shows."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from tests.support import e2e_policy
from tests.support.gateway import test_key
from tollhouse.keys import sha256_hex

TEAMS = 20


def tree(version: int) -> dict[str, str]:
    """Path to text. Model, defaults and each team say `version`; 22 files differ between two."""
    mark = f"v{version}"
    models = (
        f"models:\n"
        f"  chat:\n    provider: openai\n    model: model-{mark}\n"
        f"    defaults: {{user: {mark}}}\n    price: {e2e_policy.PRICE}\n"
        f"  chat-other:\n    provider: openai\n    model: other-{mark}\n"
        f"    defaults: {{user: {mark}}}\n    price: {e2e_policy.PRICE}\n"
    )
    files = {
        "org.yaml": f"org: acme\nowner: {mark}\n",
        "providers.yaml": e2e_policy.PROVIDERS,
        "models.yaml": models,
    }
    # The project is in the log: it says which version of the team's file was read.
    for number in range(TEAMS):
        files[f"teams/team-{number:02}.yaml"] = (
            f"team: team-{number:02}\nowner: {mark}\nprojects:\n  site-{mark}:\n"
            f"    allowed_models: [chat, chat-other]\n    keys:\n"
            f"    - {{id: key-{number:02}, sha256: {sha256_hex(test_key(f'key-{number:02}'))},"
            f" metadata: {{version: {mark}}}}}\n"
        )
    return files


def write(directory: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return directory


# Ways of changing a whole tree to another version. Each leaves it whole, and says what it is.

Change = Callable[[Path, Mapping[str, str]], None]


def by_rename(directory: Path, files: Mapping[str, str]) -> None:
    """vim: a new file, renamed into place, with a swap file beside it."""
    for name, text in files.items():
        path = directory / name
        swap = path.with_name(f".{path.name}.swp")
        swap.write_text("b0VIM")
        new = path.with_name(f"{path.name}~new")
        new.write_text(text)
        new.replace(path)
        swap.unlink()


def by_backup(directory: Path, files: Mapping[str, str]) -> None:
    """emacs: the old file becomes x.yaml~, the new one is written under its name."""
    for name, text in files.items():
        path = directory / name
        if path.exists():
            path.replace(path.with_name(f"{path.name}~"))
        path.write_text(text)


def in_two_halves(directory: Path, files: Mapping[str, str]) -> None:
    """Truncated and written in place; the largest file in two halves, 100 ms apart."""
    largest = max(files, key=lambda name: len(files[name]))
    for name, text in files.items():
        with (directory / name).open("w") as file:
            half = len(text) // 2
            file.write(text[:half])
            file.flush()
            if name == largest:
                time.sleep(0.1)
            file.write(text[half:])


def slowly(directory: Path, files: Mapping[str, str]) -> None:
    """A copy over a slow line: a file every 60 ms."""
    for name, text in files.items():
        (directory / name).write_text(text)
        time.sleep(0.06)


def after_deletion(directory: Path, files: Mapping[str, str]) -> None:
    """Everything is removed and restored."""
    for name in files:
        (directory / name).unlink(missing_ok=True)
    shutil.rmtree(directory / "teams", ignore_errors=True)
    time.sleep(0.1)
    write(directory, files)


def after_a_break(directory: Path, files: Mapping[str, str]) -> None:
    """A bad file beside a new version stays for half a second, and is mended."""
    write(directory, {**files, "models.yaml": "models: ["})
    time.sleep(0.5)
    write(directory, files)


EDITS: tuple[Change, ...] = (
    by_rename,
    by_backup,
    in_two_halves,
    slowly,
    after_deletion,
    after_a_break,
)


class Repository:
    """A git repository with a commit for each of some versions."""

    def __init__(self, directory: Path, versions: Iterator[int] | range) -> None:
        self.directory = directory
        directory.mkdir(parents=True)
        self._git("init", "-q")
        for version in versions:
            write(directory, tree(version))
            self._git("add", "-A")
            self._git("commit", "-q", "-m", f"v{version}")
            self._git("tag", f"v{version}")

    def checkout(self, version: int) -> None:
        self._git("checkout", "-q", "-f", f"v{version}")

    def _git(self, *words: str) -> None:
        who = ("-c", "user.name=test", "-c", "user.email=test@example.com")
        quiet = ("-c", "advice.detachedHead=false", "-c", "gc.auto=0")
        subprocess.run(
            ["git", *who, *quiet, *words],  # noqa: S607
            cwd=self.directory,
            check=True,
            capture_output=True,
        )


class Mount:
    """A ConfigMap as Kubernetes mounts it: links into ..data, which is swapped by rename."""

    def __init__(self, directory: Path, version: int) -> None:
        self.directory = directory
        self._now = ""
        directory.mkdir(parents=True)
        self.swap(version)
        for name in ("org.yaml", "providers.yaml", "models.yaml", "teams"):
            (directory / name).symlink_to(f"..data/{name}")

    def swap(self, version: int) -> None:
        folder = f"..v{version}-{time.time_ns()}"
        write(self.directory / folder, tree(version))
        (self.directory / "..data_tmp").symlink_to(folder)
        (self.directory / "..data_tmp").replace(self.directory / "..data")
        if self._now:
            # As kubelet does, with what readers may still have open.
            shutil.rmtree(self.directory / self._now)
        self._now = folder
