"""One policy file, read and replaced."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tollhouse.policy.editing.errors import EditError
from tollhouse.policy.loader import policy_files


def read_all(directory: Path) -> Iterator[tuple[str, str]]:
    """Name and text, line breaks as they are, of each policy file that is UTF-8 text."""
    # Whatever cannot be read is the loader's to report.
    with contextlib.suppress(OSError):
        for path in policy_files(directory):
            with contextlib.suppress(OSError, UnicodeDecodeError):
                yield path.relative_to(directory).as_posix(), path.read_bytes().decode("utf-8")


def require_unchanged(directory: Path, name: str, text: str | None) -> None:
    """Raises EditError when the file is not what was read (None: was not there)."""
    try:
        found = (directory / name).read_bytes().decode("utf-8", "replace")
    except FileNotFoundError:
        found = None
    except OSError as error:
        raise EditError(f"{directory / name} cannot be read: {error.strerror}") from error
    if found != text:
        raise EditError(
            f"{directory / name} was changed by somebody else meanwhile, nothing was changed: "
            "look at it, and run this again"
        )


def replace(directory: Path, name: str, text: str) -> None:
    """Put a file with this text in the place of the old one, with its mode and owner.

    Raises EditError when the directory or the disk does not take it.
    """
    target = directory / name
    refuse_links(directory, name)
    try:
        target.parent.mkdir(exist_ok=True)
        # The dot hides it from the loader.
        handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(text.encode("utf-8"))
                _take_over(file.fileno(), target)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(target)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        _sync(target.parent)
    except OSError as error:
        raise EditError(unwritable(target, error)) from error


def unwritable(place: Path, error: OSError) -> str:
    """What to say where a file could not be written."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return f"{place} is not a directory that can be read"
    return (
        f"{place} cannot be written ({error.strerror}), nothing was changed: change the policy"
        " where it comes from, such as Git or a ConfigMap, or run this as its owner"
    )


def refuse_links(directory: Path, name: str) -> None:
    """Raises EditError when the file, or a folder on the way to it, is a link."""
    for part in (Path(name), *Path(name).parents[:-1]):
        if (directory / part).is_symlink():
            raise EditError(
                f"{directory / part} is a link, as Kubernetes mounts a ConfigMap: an edit here"
                " would be lost, so change it where it comes from, in Git or in the ConfigMap"
            )


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
