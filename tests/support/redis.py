"""Real Redis servers for tests. Import the fixtures into a conftest.py to use them there.

`redis_url` is one server for the whole run: flush it, or use a prefix of your own.
`redis_process` is a server of the test's own, to be stopped, killed and started again.
"""

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tollhouse.local.embedded_redis import EmbeddedRedis

__all__ = ["RedisProcess", "redis_process", "redis_url"]


class RedisProcess:
    """An embedded Redis and the process that runs it."""

    def __init__(self, run_dir: Path, *options: str) -> None:
        self._server = EmbeddedRedis(run_dir)
        self._options = options
        self._log = run_dir / "redis.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it answers."""
        return self._server.url

    def start(self) -> None:
        """Run it, and return when it answers."""
        with self._log.open("ab") as log:
            command = [*self._server.command(), *self._options]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        self._server.wait_until_ready()

    def send(self, number: signal.Signals) -> None:
        """Send a signal, such as SIGSTOP to make it hang."""
        assert self._process is not None
        self._process.send_signal(number)

    def terminate(self) -> None:
        """Ask it to end, and return when it has."""
        assert self._process is not None
        self._process.terminate()
        self._process.wait()
        self._process = None

    def kill(self) -> None:
        """End it without a goodbye."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server that lives as long as the test run."""
    server = RedisProcess(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server.url
    server.kill()


@pytest.fixture
def redis_process(tmp_path: Path) -> Iterator[RedisProcess]:
    """A running server of this test alone."""
    server = RedisProcess(tmp_path)
    server.start()
    yield server
    server.kill()
