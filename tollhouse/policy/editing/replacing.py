"""Policy files, read and replaced.

A file is replaced by swapping it with its successor in one step (renameat2, RENAME_EXCHANGE), and
what comes out is looked at: had somebody saved in between, theirs is put back. Where the system
cannot swap, a look comes just before a plain rename.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tollhouse.policy.editing import swap
from tollhouse.policy.editing.errors import EditError, MeanwhileError, ReadOnlyError
from tollhouse.policy.loader import policy_files


@dataclass(frozen=True, slots=True)
class Rewrite:
    """The text of one file, before and after. None: it is not there."""

    before: str | None
    after: str | None


def read_all(directory: Path) -> Iterator[tuple[str, str]]:
    """Name and text, line breaks as they are, of each policy file that is UTF-8 text."""
    # Whatever cannot be read is the loader's to report.
    with contextlib.suppress(OSError):
        for path in policy_files(directory):
            with contextlib.suppress(OSError, UnicodeDecodeError):
                yield path.relative_to(directory).as_posix(), path.read_bytes().decode("utf-8")


def require_unchanged(directory: Path, name: str, text: str | None) -> None:
    """Raises MeanwhileError when the file is not what was read (None: was not there)."""
    try:
        found = swap.text_of(directory / name)
    except OSError as error:
        raise EditError(f"{directory / name} cannot be read: {error.strerror}") from error
    if found != text:
        raise _changed(directory / name)


class Prepared:
    """Files that are written in full beside those that they will replace."""

    def __init__(self, directory: Path, rewrites: Mapping[str, Rewrite]) -> None:
        self._directory = directory
        self._rewrites = rewrites
        self._beside: dict[str, Path] = {}

    def write_beside(self) -> None:
        """Raises ReadOnlyError."""
        for name, rewrite in self._rewrites.items():
            self._beside[name] = _beside(self._directory / name, rewrite)

    def require_unchanged(self) -> None:
        """Raises MeanwhileError when a file is no longer what the edit began with."""
        for name, rewrite in self._rewrites.items():
            require_unchanged(self._directory, name, rewrite.before)

    def put(self) -> None:
        """Put each in its place. Raises MeanwhileError, ReadOnlyError."""
        for name, rewrite in self._rewrites.items():
            target = self._directory / name
            try:
                self._put(target, self._beside[name], rewrite)
                _sync(target.parent)
            except OSError as error:
                raise ReadOnlyError(unwritable(target, error)) from error

    def _put(self, target: Path, beside: Path, rewrite: Rewrite) -> None:
        done = (
            swap.create(beside, target)
            if rewrite.before is None
            else swap.take_away(target, beside, rewrite.before)
            if rewrite.after is None
            else swap.replace(beside, target, rewrite.before, rewrite.after)
        )
        if not done:
            raise _changed(target)

    def discard(self) -> None:
        """Remove what is left beside."""
        for path in self._beside.values():
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def prepared(directory: Path, rewrites: Mapping[str, Rewrite]) -> Iterator[Prepared]:
    """All that can fail for want of space or rights is done on entry.

    Raises:
        ReadOnlyError: the directory or the disk does not take it, or a file is a link.
    """
    for name in rewrites:
        refuse_links(directory, name)
    ready = Prepared(directory, rewrites)
    try:
        ready.write_beside()
        yield ready
    finally:
        ready.discard()


def unwritable(place: Path, error: OSError) -> str:
    """What to say where a file could not be written."""
    if is_missing(error):
        return f"{place} is not a directory that can be read"
    return (
        f"{place} cannot be written ({error.strerror}), nothing was changed: change the policy"
        " where it comes from, such as Git or a ConfigMap, or run this as its owner"
    )


def is_missing(error: OSError) -> bool:
    """Whether there is no such directory."""
    return isinstance(error, FileNotFoundError | NotADirectoryError)


def refuse_links(directory: Path, name: str) -> None:
    """Raises ReadOnlyError when the file, or a folder on the way to it, is a link."""
    for part in (Path(name), *Path(name).parents[:-1]):
        if (directory / part).is_symlink():
            raise ReadOnlyError(
                f"{directory / part} is a link, as Kubernetes mounts a ConfigMap: an edit here"
                " would be lost, so change it where it comes from, in Git or in the ConfigMap"
            )


def _changed(path: Path) -> MeanwhileError:
    return MeanwhileError(
        f"{path} was changed by somebody else meanwhile, nothing was changed: "
        "look at it, and run this again"
    )


def _beside(target: Path, rewrite: Rewrite) -> Path:
    """A file in the same folder with the new text, and the old one's mode and owner."""
    try:
        target.parent.mkdir(exist_ok=True)
        # The dot hides it from the loader.
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        with os.fdopen(handle, "wb") as file:
            file.write((rewrite.after or "").encode("utf-8"))
            _take_over(file.fileno(), target)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise ReadOnlyError(unwritable(target, error)) from error
    return Path(name)


def _take_over(descriptor: int, target: Path) -> None:
    """Mode and owner of the file that is replaced; a new file has those that are usual here."""
    if not target.exists():
        mask = os.umask(0)
        os.umask(mask)
        os.fchmod(descriptor, 0o666 & ~mask)
        return
    status = target.stat()
    # Who is not root cannot give files away, and may keep the group at least.
    for owner in (status.st_uid, -1):
        with contextlib.suppress(PermissionError):
            os.fchown(descriptor, owner, status.st_gid)
            break
    os.fchmod(descriptor, status.st_mode & 0o7777)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
