"""Child processes of `tollhouse up`: started with their output in a file, stopped together."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

_STOP_SECONDS = 5.0
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_LAST_LINES = 8


class ChildError(Exception):
    """A part of the gateway did not start, or ended by itself; the message shows its last words."""


class Child:
    """One running process and its log file."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self.name = name
        self.process = process
        self.log = log

    async def ended(self) -> ChildError:
        """Waits until the process ends by itself, and says how."""
        code = await self.process.wait()
        return ChildError(f"{self.name} ended ({_in_words(code)}).\n{self.last_words()}")

    def last_words(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()[-_LAST_LINES:]
        return "\n".join(["  | " + line for line in lines] + [f"  all of it: {self.log}"])

    async def stop(self) -> None:
        if self.process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()
        try:
            await asyncio.wait_for(self.process.wait(), _STOP_SECONDS)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
            await self.process.wait()


class Children:
    """All of them. The first to end by itself ends the others."""

    def __init__(self, log_dir: Path) -> None:
        self._log_dir = log_dir
        self._running: list[Child] = []

    async def start(
        self, name: str, command: Sequence[str], env: Mapping[str, str] | None = None
    ) -> Child:
        self._log_dir.mkdir(parents=True, exist_ok=True)
        log = self._log_dir / f"{name}.log"
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=env,
                # A group of its own: Ctrl-C reaches us alone, and we stop them in order.
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )
        child = Child(name, process, log)
        self._running.append(child)
        return child

    async def first_to_end(self) -> ChildError:
        """Waits until one ends by itself."""
        tasks = [asyncio.create_task(child.ended()) for child in self._running]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            return done.pop().result()
        finally:
            for task in tasks:
                task.cancel()

    async def stop(self) -> None:
        """In reverse order of start: Envoy first, so that its last log entries still settle."""
        while self._running:
            await self._running.pop().stop()


def _die_with_parent() -> None:
    # Linux only: `kill -9` of the parent would otherwise leave its ports taken.
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _in_words(code: int) -> str:
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
