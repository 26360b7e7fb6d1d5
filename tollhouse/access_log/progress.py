"""How far a long reading of logs has come."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

from tollhouse.access_log.logs import Read

_SAY_EVERY_SECONDS = 5.0


@contextlib.contextmanager
def progress(paths: list[Path], err: Console) -> Iterator[Read]:
    """A bar where there is a terminal, else a line every few seconds."""
    total, done = sum(path.stat().st_size for path in paths), dict.fromkeys(paths, 0)
    if err.is_terminal:
        columns = (BarColumn(), DownloadColumn(), TimeRemainingColumn())
        with Progress(*columns, console=err, transient=True) as bar:
            task = bar.add_task("", total=total)

            def show(path: Path, read: int) -> None:
                done[path] = read
                bar.update(task, completed=sum(done.values()))

            yield show
        return
    said = time.monotonic()

    def say(path: Path, read: int) -> None:
        nonlocal said
        done[path] = read
        if time.monotonic() - said > _SAY_EVERY_SECONDS:
            said = time.monotonic()
            err.print(f"{sum(done.values()):,} of {total:,} bytes read", markup=False)

    yield say
