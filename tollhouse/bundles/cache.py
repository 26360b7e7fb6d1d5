"""The last good bundle on a replica's disk, to start from while Redis is away."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


class BundleCache:
    """One file, of one process. What is read is not checked here: it has its signature."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __str__(self) -> str:
        return str(self._path)

    def read(self) -> bytes | None:
        """The bundle, None if there is none. Raises OSError."""
        with suppress(FileNotFoundError):
            return self._path.read_bytes()
        return None

    def write(self, sealed: bytes) -> None:
        """Replace it; after a power cut it is the old one or the new one, whole. Raises OSError."""
        folder = self._path.parent
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        beside = self._path.with_name(f".{self._path.name}.new")
        # A leftover of a crash may have another owner's mode.
        beside.unlink(missing_ok=True)
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(sealed)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self._path)
        _sync(folder)


def _sync(folder: Path) -> None:
    """A rename is on disk once its folder is."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
