"""Real Redis servers for tests. Import the fixtures into a conftest.py to use them there.

`redis_url` is one server for the whole run: flush it, or use a prefix of your own.
`redis_process` is a server of the test's own, to be stopped, killed and started again.
"""

import contextlib
import secrets
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis.exceptions
from redis import Redis
from redis.crc import key_slot

from tests.support.gateway import wait_for
from tollhouse.local.embedded_redis import EmbeddedRedis

__all__ = [
    "RedisCluster",
    "RedisProcess",
    "redis_cluster",
    "redis_cluster_url",
    "redis_process",
    "redis_url",
]

HASH_SLOTS = 16_384


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


class RedisCluster:
    """A real Redis Cluster of three masters, on free ports of this machine."""

    MASTERS = 3

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.ports: list[int] = []
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    @property
    def url(self) -> str:
        """Where it answers: any of its nodes tells of the others."""
        return f"redis+cluster://127.0.0.1:{self.ports[0]}"

    def start(self) -> None:
        """Run it, and return when all nodes agree that it is well."""
        self.ports = _free_cluster_ports(self.MASTERS)
        for port in self.ports:
            self.start_node(port)
        nodes = [Redis(port=port) for port in self.ports]
        share = -(-HASH_SLOTS // self.MASTERS)
        for at, node in enumerate(nodes):
            own = range(at * share, min((at + 1) * share, HASH_SLOTS))
            node.execute_command("CLUSTER", "ADDSLOTS", *own)
            node.execute_command("CLUSTER", "SET-CONFIG-EPOCH", at + 1)
            node.execute_command("CLUSTER", "MEET", "127.0.0.1", self.ports[0])
        wait_for(lambda: all(map(self._is_well, nodes)), "an agreement of the cluster's nodes")

    def _is_well(self, node: Redis) -> bool:
        info = node.cluster("info")
        return info["cluster_state"] == "ok" and info["cluster_known_nodes"] == str(self.MASTERS)

    def start_node(self, port: int) -> None:
        """Run one node, anew or again, and return when it answers."""
        folder = self._directory / str(port)
        folder.mkdir(exist_ok=True)
        with (self._directory / "redis.log").open("ab") as log:
            self._processes[port] = subprocess.Popen(
                [
                    EmbeddedRedis(folder).command()[0],
                    *("--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)),
                    *("--cluster-enabled", "yes", "--cluster-node-timeout", "1000"),
                    # One master away: its teams wait, the others do not.
                    *("--cluster-require-full-coverage", "no"),
                    *("--appendonly", "yes", "--save", ""),
                ],
                stdout=log,
                stderr=log,
            )
        wait_for(lambda: _answers(port), f"a node at {port}")

    def send(self, port: int, number: signal.Signals) -> None:
        """Send a signal to a node."""
        self._processes[port].send_signal(number)

    def kill_node(self, port: int) -> None:
        """End a node without a goodbye."""
        self._processes[port].kill()
        self._processes.pop(port).wait()

    def lose_node(self, port: int) -> None:
        """Kill a node, and start it again without its data."""
        self.kill_node(port)
        for log in (self._directory / str(port)).glob("*.aof"):
            log.unlink()
        self.start_node(port)
        wait_for(lambda: all(self._is_well(Redis(port=each)) for each in self.ports), "the cluster")

    def port_of(self, tag: str) -> int:
        """The node that keeps the keys with a hash tag."""
        share = -(-HASH_SLOTS // self.MASTERS)
        return self.ports[key_slot(tag.encode()) // share]

    def kill(self) -> None:
        """End all of it."""
        for port in list(self._processes):
            self.kill_node(port)


def _answers(port: int) -> bool:
    with contextlib.suppress(redis.exceptions.RedisError):
        return bool(Redis(port=port).ping())
    return False


def _free_cluster_ports(count: int) -> list[int]:
    # The nodes talk to each other on the port 10,000 above. Linux gives clients those from 32,768
    # on, so none of these is taken between this look and the node's start, or while it is down.
    ports: set[int] = set()
    while len(ports) < count:
        port = 12_000 + secrets.randbelow(10_000)
        if _is_free(port) and _is_free(port + 10_000):
            ports.add(port)
    return sorted(ports)


def _is_free(port: int) -> bool:
    with socket.socket() as probe, contextlib.suppress(OSError):
        probe.bind(("127.0.0.1", port))
        return True
    return False


@pytest.fixture(scope="session")
def redis_cluster_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a cluster that lives as long as the test run."""
    with _running_cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster.url


@pytest.fixture
def redis_cluster(tmp_path: Path) -> Iterator[RedisCluster]:
    """A running cluster of this test alone."""
    with _running_cluster(tmp_path) as cluster:
        yield cluster


@contextlib.contextmanager
def _running_cluster(directory: Path) -> Iterator[RedisCluster]:
    cluster = RedisCluster(directory)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.kill()
