"""gRPC's core: its settings, and where it waits.

The settings are read from the environment, once, while grpc is imported.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

_EXPERIMENTS = "GRPC_EXPERIMENTS"
_STRATEGY = "GRPC_POLL_STRATEGY"
# Of the core's two ways to wait, the older one keeps no threads: it waits in one epoll instance,
# and does its work in whoever asks its completion queue. See server.py.
_WITHOUT_EVENT_ENGINE = "-event_engine_listener"
_OPEN_FILES = Path("/proc/self/fd")


def configure() -> None:
    """Must be called before anything imports grpc.

    Raises RuntimeError if it is too late.
    """
    if "grpc" in sys.modules:
        raise RuntimeError("grpc is imported already, and has read its settings")
    said = os.environ.get(_EXPERIMENTS)
    os.environ[_EXPERIMENTS] = f"{said},{_WITHOUT_EVENT_ENGINE}" if said else _WITHOUT_EVENT_ENGINE
    if sys.platform == "linux":
        os.environ[_STRATEGY] = "epoll1"


def open_sockets() -> set[int]:
    """This process's descriptors of sockets."""
    return {descriptor for descriptor, what in _open_files() if what.startswith("socket:")}


def epoll_of(sockets: set[int]) -> int | None:
    """The epoll instance that waits for one of `sockets`; None where the system does not tell."""
    for descriptor, what in _open_files():
        if what == "anon_inode:[eventpoll]" and sockets & set(_watched(descriptor)):
            return descriptor
    return None


def _open_files() -> Iterator[tuple[int, str]]:
    for link in _OPEN_FILES.glob("*"):
        try:
            yield int(link.name), str(link.readlink())
        except FileNotFoundError:  # that of the listing itself
            continue


def _watched(epoll: int) -> Iterator[int]:
    # Lines like "tfd:        7 events: 8000001d data: …": proc_pid_fdinfo(5).
    for line in Path(f"/proc/self/fdinfo/{epoll}").read_text("ascii").splitlines():
        if line.startswith("tfd:"):
            yield int(line.split()[1])
