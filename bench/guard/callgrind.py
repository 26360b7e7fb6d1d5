"""Runs a program under valgrind's callgrind, and reads what it counted."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

_TOTALS = re.compile(r"^(?:totals|summary): (\d+)$", re.MULTILINE)
_SECONDS = 600.0
_POLL_SECONDS = 0.05


class CallgrindError(Exception):
    """valgrind is missing, or what ran under it failed; the message says what to do."""


def require() -> None:
    """Raises CallgrindError."""
    if not shutil.which("valgrind") or not shutil.which("vgdb"):
        raise CallgrindError("valgrind is missing (Debian: apt-get install valgrind)")


class Counted:
    """A program whose counters go to files in `folder`, one more whenever it enters the C function
    `dumped_at`. `counting`: from the start, or only once `count` is called."""

    def __init__(
        self, command: Sequence[str], folder: Path, dumped_at: str, *, counting: bool
    ) -> None:
        self._out = folder / "counts"
        self._log = folder / "log"
        options = [
            "--tool=callgrind",
            f"--instr-atstart={'yes' if counting else 'no'}",
            f"--dump-before={dumped_at}",
            "--dump-line=no",
            f"--callgrind-out-file={self._out}",
        ]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                ["valgrind", *options, *command],  # noqa: S607 - the one that the PATH names
                stdout=log,
                stderr=subprocess.STDOUT,
                # No other variable may shift anything in memory.
                env={"PATH": os.environ["PATH"], "PYTHONHASHSEED": "0"},
            )

    def wait_for(self, path: Path) -> None:
        """Until it has made this file. Raises CallgrindError."""
        deadline = time.monotonic() + _SECONDS
        while not path.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise CallgrindError(f"what is counted did not start:\n{self.last_words()}")
            time.sleep(_POLL_SECONDS)

    def count(self) -> None:
        """From now on."""
        command = ["vgdb", f"--pid={self.process.pid}", "instrumentation", "on"]
        subprocess.run(command, check=True, capture_output=True, timeout=_SECONDS)

    def wait(self) -> None:
        """Until it has ended. Raises CallgrindError."""
        if self.process.wait(_SECONDS) != 0:
            raise CallgrindError(f"what is counted failed:\n{self.last_words()}")

    def stop(self) -> None:
        """End it, if it has not ended."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def dumps(self) -> list[int]:
        """The instructions between two dumps, in order; the first are those before the first."""
        paths = self._out.parent.glob(f"{self._out.name}.*")
        ordered = sorted(paths, key=lambda path: int(path.suffix[1:]))
        return [int(_TOTALS.findall(path.read_text())[-1]) for path in ordered]

    def last_words(self) -> str:
        """The end of what it said."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-15:])
