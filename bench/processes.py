"""What the processes of a target use of the machine, read from /proc (Linux)."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

_PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Used:
    """CPU seconds since its start, and resident bytes now."""

    cpu_seconds: float
    rss_bytes: int


@dataclass(frozen=True, slots=True)
class Stat:
    """What /proc/PID/stat says of a process (proc(5))."""

    parent: int
    used: Used


def parse_stat(line: str) -> Stat:
    """The name, in brackets, may hold blanks and brackets; all after it is numbers."""
    fields = line.rpartition(")")[2].split()
    seconds = (int(fields[11]) + int(fields[12])) / _TICKS
    return Stat(int(fields[1]), Used(seconds, int(fields[21]) * _PAGE))


def part(command: list[str], default: str) -> str:
    """What a process is called in the results, by its command line."""
    # Redis writes a title of its own over its command line: one word, with blanks.
    program = Path(command[0].partition(" ")[0]).name if command else ""
    if program == "envoy" or program.startswith("redis-server"):
        return program.partition("-")[0]
    modules = [b for a, b in pairwise(command) if a == "-m"]
    return modules[0] if modules and modules[0].endswith("_service") else default


def used(root: int, name: str) -> dict[str, Used]:
    """By part, of a process and all that descend from it; those of one name are added up."""
    total: dict[str, Used] = {}
    for pid, stat in _tree(root):
        total = added(total, {part(_command(pid), name): stat.used})
    return total


def cpu_seconds(root: int) -> dict[int, float]:
    """By process id, of all that descend from a process, without itself."""
    return {pid: stat.used.cpu_seconds for pid, stat in _tree(root) if pid != root}


def added(one: dict[str, Used], other: dict[str, Used]) -> dict[str, Used]:
    """Part by part."""
    none = Used(0.0, 0)
    return {
        name: Used(
            one.get(name, none).cpu_seconds + other.get(name, none).cpu_seconds,
            one.get(name, none).rss_bytes + other.get(name, none).rss_bytes,
        )
        for name in {**one, **other}
    }


def used_as_one(root: int, name: str) -> dict[str, Used]:
    """The same, all of it under one name."""
    parts = used(root, name).values()
    return {name: Used(sum(p.cpu_seconds for p in parts), sum(p.rss_bytes for p in parts))}


def _tree(root: int) -> Iterator[tuple[int, Stat]]:
    stats = dict(_all())
    children = defaultdict(list)
    for pid, stat in stats.items():
        children[stat.parent].append(pid)
    waiting = [root] if root in stats else []
    while waiting:
        pid = waiting.pop()
        waiting += children[pid]
        yield pid, stats[pid]


def _all() -> Iterator[tuple[int, Stat]]:
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            try:
                yield int(entry.name), parse_stat((entry / "stat").read_text())
            except OSError:
                continue  # it ended meanwhile


def _command(pid: int) -> list[str]:
    try:
        return (_PROC / str(pid) / "cmdline").read_text(errors="replace").split("\0")[:-1]
    except OSError:
        return []
