"""Where a unix socket of a run directory lives: beside its other files, if the path fits."""

import contextlib
import hashlib
import os
import stat
import tempfile
from pathlib import Path

# sun_path is 108 bytes with its closing NUL on Linux, 104 on macOS (unix(7)).
_LONGEST_SOCKET_PATH = 103


class SocketPathError(Exception):
    """The private folder for sockets under the temp dir is not ours alone."""


def socket_path(run_dir: Path, name: str) -> Path:
    """`run_dir/name.sock`, or a path under the temp dir where that is too long for a socket.

    Raises SocketPathError.
    """
    path = run_dir / f"{name}.sock"
    if len(os.fsencode(path)) <= _LONGEST_SOCKET_PATH:
        return path
    digest = hashlib.sha256(os.fsencode(run_dir)).hexdigest()[:16]
    return _private_folder() / f"{digest}.{name}.sock"


def _private_folder() -> Path:
    # The temp dir is everybody's: in a folder of another user, another server could be waiting.
    folder = Path(tempfile.gettempdir()) / f"tollhouse-{os.getuid()}"
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise SocketPathError(f"{folder} is not a folder of ours alone")
    return folder
