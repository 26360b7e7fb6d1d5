"""Whether git is changing a working tree: it holds `index.lock` from the first file to the last."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

# A git that was killed leaves its lock behind, and must not hold back every edit after it.
LEFT_BEHIND_SECONDS = 60.0


def lock_of(directory: Path) -> Path | None:
    """Where git would lock the working tree that this directory is in, None if it is in none."""
    for folder in (directory, *directory.parents):
        git = folder / ".git"
        if git.is_dir():
            return git / "index.lock"
        if git.is_file():  # a linked worktree, a submodule: "gitdir: PATH"
            place = git.read_text(encoding="utf-8").removeprefix("gitdir:").strip()
            return folder / place / "index.lock"
    return None


def is_at_work(lock: Path, now: Callable[[], float]) -> bool:
    """Whether the lock is there, and not left behind; `now` is seconds since the epoch."""
    try:
        return now() - lock.stat().st_mtime < LEFT_BEHIND_SECONDS
    except OSError:
        return False
