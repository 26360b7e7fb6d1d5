"""One file in the place of another, without losing what somebody else saves at that moment.

Each function says whether it was done; if not, the place holds what others put there.
"""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2  # linux/fs.h
# Of an old kernel, of a file system that cannot: NFS, some FUSE.
_CANNOT = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP}
_SAVES = 10


def text_of(path: Path) -> str | None:
    """None: there is no such file. Raises OSError."""
    try:
        return path.read_bytes().decode("utf-8", "replace")
    except FileNotFoundError:
        return None


def create(beside: Path, target: Path) -> bool:
    """Name the file `target`, unless there is one."""
    try:
        os.link(beside, target)
    except FileExistsError:
        return False
    except PermissionError:  # a file system without hard links
        if target.exists():
            return False
        beside.replace(target)
    return True


def take_away(target: Path, beside: Path, before: str) -> bool:
    """Remove `target` if its text is `before`; `beside` is overwritten."""
    if text_of(target) != before:
        return False
    target.replace(beside)
    if text_of(beside) == before:
        return True
    create(beside, target)
    return False


def replace(beside: Path, target: Path, before: str, after: str) -> bool:
    """`beside` (its text is `after`) in the place of `target`, if the text of that is `before`."""
    if text_of(target) != before:
        return False
    if not exchange(beside, target):
        beside.replace(target)
        return True
    if text_of(beside) == before:
        return True
    _put_back(beside, target, after)
    return False


def _put_back(beside: Path, target: Path, inside: str | None) -> None:
    """`beside` holds what somebody saved, and `target` held `inside` when it came out."""
    for _ in range(_SAVES):
        theirs = text_of(beside)
        exchange(beside, target)
        if text_of(beside) == inside:
            return
        # They have saved once more: that is the newest, and came out just now.
        inside = theirs


def exchange(one: Path, other: Path) -> bool:
    """Swap two files in one step. False: the system cannot. Raises OSError."""
    try:
        call = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:  # glibc before 2.28, macOS
        return False
    names = [os.fsencode(path) for path in (one, other)]
    if call(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in _CANNOT:
        return False
    raise OSError(code, os.strerror(code), str(other))
