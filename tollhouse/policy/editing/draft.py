"""A policy directory being edited: read, changed in memory, checked as a whole, written.

Nothing is written unless the services' own loader takes the whole resulting policy. Each file is
replaced in one step, so a reader, or a process that is killed, sees the old file or the new one.
Edits of this module wait for each other; an editor that saves in between is noticed, and its file
is left alone.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

from tollhouse.policy.compiled import Snapshot
from tollhouse.policy.compiler import PolicyLoader
from tollhouse.policy.documents import Path
from tollhouse.policy.editing import replacing, splice
from tollhouse.policy.editing.errors import EditError, LockedError, ReadOnlyError, WouldBeRefused
from tollhouse.policy.editing.replacing import Rewrite
from tollhouse.policy.problems import PolicyError
from tollhouse.policy.tree import PolicyTree

LOCK_FILE = ".tollhouse.lock"
"""In the policy directory; the loader ignores names that begin with a dot."""
LOCK_SECONDS = 60.0
"""How long an edit waits for others."""
_LOOK_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class Planned:
    """An edit that the services would take: the policy as it would be, and the files to write."""

    tree: PolicyTree
    snapshot: Snapshot
    rewrites: Mapping[str, Rewrite]


class Draft:
    """The policy as it was read (`tree`, `snapshot`), and the changes to it so far.

    `file` is a name within the directory, e.g. teams/web.yaml; `path` is a place within the file.
    `loader` has what it compiled for the draft before this one.
    """

    def __init__(self, directory: FilePath, loader: PolicyLoader | None = None) -> None:
        self.directory = directory
        self._loader = loader or PolicyLoader()
        # Read once: what decides, what is edited and what is compared at the end are one text.
        self._read: dict[str, str] = dict(replacing.read_all(directory))
        self._edited: dict[str, str | None] = dict(self._read)
        self.tree, self.snapshot = self._checked(before=True)

    def set(self, file: str, path: Path, value: Any) -> None:
        """Put a value at a place; missing mappings on the way are made. Raises EditError."""
        self._edit(file, splice.set_value, path, value)

    def append(self, file: str, path: Path, value: Any) -> None:
        """Add an item to a list, which is made if it is missing. Raises EditError."""
        self._edit(file, splice.append, path, value)

    def remove(self, file: str, path: Path) -> None:
        """Take out a key or an item. Raises EditError."""
        self._edit(file, splice.remove, path)

    def create(self, file: str, text: str) -> None:
        """Add a file. Raises EditError when it is there already."""
        if self._edited.get(file) is not None:
            raise EditError(f"{self.directory / file} is there already")
        self._edited[file] = text

    def delete(self, file: str) -> None:
        """Remove a file. Raises KeyError when there is none."""
        if self._edited[file] is None:
            raise KeyError(file)
        self._edited[file] = None

    def plan(self) -> Planned:
        """Check the whole resulting policy. Raises WouldBeRefused."""
        tree, snapshot = self._checked(before=False)
        rewrites = {
            name: Rewrite(self._read.get(name), text)
            for name, text in self._edited.items()
            if text != self._read.get(name)
        }
        return Planned(tree, snapshot, rewrites)

    def write(self, planned: Planned, before: Callable[[], None] | None = None) -> None:
        """Write what `plan` gave. `before` is called when all but the last step is done: if it
        raises, nothing is written.

        Raises:
            MeanwhileError: a file changed meanwhile.
            ReadOnlyError: a file is a link, or cannot be written.
        """
        with replacing.prepared(self.directory, planned.rewrites) as ready:
            ready.require_unchanged()
            if before is not None:
                before()
            ready.put()
        self.tree, self.snapshot = planned.tree, planned.snapshot

    def commit(self) -> Snapshot:
        """Check the whole resulting policy and write it; the snapshot that it compiles to.

        Raises:
            EditError: as `plan` and `write`.
        """
        self.write(self.plan())
        return self.snapshot

    def _edit(self, file: str, change: Callable[..., str], *arguments: Any) -> None:
        self._edited[file] = change(self._edited[file], *arguments)

    def _checked(self, *, before: bool) -> tuple[PolicyTree, Snapshot]:
        try:
            return self._loader.read(self.directory, self._edited)
        except PolicyError as error:
            raise WouldBeRefused(error, before=before) from error


@contextlib.contextmanager
def open_draft(directory: FilePath, loader: PolicyLoader | None = None) -> Iterator[Draft]:
    """The policy, held against other edits by this module until the block ends.

    Raises:
        WouldBeRefused: the policy is wrong as it is.
        ReadOnlyError: the directory cannot be written.
        EditError: there is no such directory.
    """
    with locked(directory):
        yield Draft(directory, loader)


def _take(lock: int, directory: FilePath) -> None:
    """Not for ever: whoever can read the file can hold it. Raises LockedError."""
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise LockedError(
                    f"{directory / LOCK_FILE} is held by another edit for {LOCK_SECONDS:.0f} s and"
                    " more, nothing was changed: look who does (fuser), and run this again"
                ) from None
            time.sleep(_LOOK_SECONDS)


@contextlib.contextmanager
def locked(directory: FilePath) -> Iterator[None]:
    """Waits for other edits. Raises as `open_draft`, and LockedError."""
    try:
        lock = os.open(directory / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o660)
    except OSError as error:
        kind = EditError if replacing.is_missing(error) else ReadOnlyError
        raise kind(replacing.unwritable(directory, error)) from error
    try:
        _take(lock, directory)
        yield
    finally:
        os.close(lock)
