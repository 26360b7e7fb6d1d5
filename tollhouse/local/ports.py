"""Whether a port is free, asked before anything is started."""

from __future__ import annotations

import socket


class PortBusy(Exception):
    """The port is taken; the message says which, and what to do."""


def require_free(port: int) -> None:
    """Raises PortBusy. Port 0 is always free: the system picks."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise PortBusy(
                f"port {port} on 127.0.0.1 cannot be used ({error.strerror}): another gateway may "
                f"be running. Stop it, or choose another: tollhouse up --port {port + 1} (0 picks "
                f"a free one), or make up PORT={port + 1}."
            ) from None
