"""A policy tree that git holds, written to a directory: REV:PATH."""

from __future__ import annotations

import contextlib
import io
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from authz_service.inputs import InputProblem


@contextlib.contextmanager
def tree_of(name: str) -> Iterator[Path]:
    """The directory of this name, or the tree of a revision for as long as the block lasts.

    PATH counts from the top of the repository, or with "./" from the current directory.

    Raises:
        InputProblem: it is neither, with what git says.
    """
    if Path(name).is_dir():
        yield Path(name)
        return
    revision, colon, path = name.partition(":")
    if not colon or not revision or not path or name.startswith("-"):
        raise InputProblem(f"{name} is neither a directory nor REV:PATH, such as main:policies")
    top = _git(Path.cwd(), "rev-parse", "--show-toplevel").decode().strip()
    tree = _tree(name)
    with tempfile.TemporaryDirectory(prefix="tollhouse-") as folder:
        archive = _git(Path(top), "archive", "--format=tar", tree)
        with tarfile.open(fileobj=io.BytesIO(archive)) as files:
            files.extractall(folder, filter="data")
        yield Path(folder)


def _tree(name: str) -> str:
    try:
        found = _git(Path.cwd(), "rev-parse", "--verify", "--quiet", name).decode().strip()
    except InputProblem:
        raise InputProblem(f"git knows no {name}") from None
    if _git(Path.cwd(), "cat-file", "-t", found).strip() != b"tree":
        raise InputProblem(f"{name} is not a directory")
    return found


def _git(where: Path, *words: str) -> bytes:
    try:
        done = subprocess.run(["git", *words], cwd=where, capture_output=True, check=False)  # noqa: S607
    except FileNotFoundError:
        raise InputProblem("git is not installed, and REV:PATH needs it") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise InputProblem(f"git {words[0]}: {said[0] if said else 'failed'}")
    return done.stdout
