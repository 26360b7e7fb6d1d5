"""A policy directory being edited: read, changed in memory, checked as a whole, written.

Nothing is written unless the services' own loader takes the whole resulting policy. Each file is
replaced by a rename in its directory, so a reader, or a process that is killed, sees the old file
or the new one. Edits of this module wait for each other; an editor that saves in between is
noticed, and its file is left alone.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path as FilePath
from typing import Any

from tollhouse.policy import loader
from tollhouse.policy.compiled import Snapshot
from tollhouse.policy.compiler import compile_tree
from tollhouse.policy.documents import Path
from tollhouse.policy.editing import replacing, splice
from tollhouse.policy.editing.errors import EditError, WouldBeRefused
from tollhouse.policy.problems import PolicyError
from tollhouse.policy.tree import PolicyTree

LOCK_FILE = ".tollhouse.lock"
"""In the policy directory; the loader ignores names that begin with a dot."""


class Draft:
    """The policy as it was read (`tree`, `snapshot`), and the changes to it so far.

    `file` is a name within the directory, e.g. teams/web.yaml; `path` is a place within the file.
    """

    def __init__(self, directory: FilePath) -> None:
        self.directory = directory
        # Read once: what decides, what is edited and what is compared at the end are one text.
        self._read: dict[str, str | None] = dict(replacing.read_all(directory))
        self._edited = {name: text for name, text in self._read.items() if text is not None}
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
        if file in self._edited:
            raise EditError(f"{self.directory / file} is there already")
        self._read.setdefault(file, None)
        self._edited[file] = text

    def commit(self) -> Snapshot:
        """Check the whole resulting policy and write it; the snapshot that it compiles to.

        Raises:
            WouldBeRefused: the services would not take it.
            EditError: a file changed meanwhile, is a link, or cannot be written.
        """
        tree, snapshot = self._checked(before=False)
        changed = [name for name in self._edited if self._edited[name] != self._read[name]]
        for name in changed:
            replacing.require_unchanged(self.directory, name, self._read[name])
        for name in changed:
            replacing.replace(self.directory, name, self._edited[name])
        self.tree, self.snapshot = tree, snapshot
        return snapshot

    def _edit(self, file: str, change: Callable[..., str], *arguments: Any) -> None:
        replacing.refuse_links(self.directory, file)
        self._edited[file] = change(self._edited[file], *arguments)

    def _checked(self, *, before: bool) -> tuple[PolicyTree, Snapshot]:
        try:
            tree = loader.load(self.directory, self._edited)
            return tree, compile_tree(tree)
        except PolicyError as error:
            raise WouldBeRefused(error, before=before) from error


@contextlib.contextmanager
def open_draft(directory: FilePath) -> Iterator[Draft]:
    """The policy, held against other edits by this module until the block ends.

    Raises:
        WouldBeRefused: the policy is wrong as it is.
        EditError: the directory cannot be written.
    """
    with _locked(directory):
        yield Draft(directory)


@contextlib.contextmanager
def _locked(directory: FilePath) -> Iterator[None]:
    try:
        lock = os.open(directory / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise EditError(replacing.unwritable(directory, error)) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
