"""A master that dies or is demoted, behind an address that moves to its replica."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis import Redis

from ratelimit_service.ledger.errors import LedgerUnavailable
from ratelimit_service.ledger.ledger import Ledger
from ratelimit_service.ledger.store import open_redis
from ratelimit_service.ledger.types import Admitted
from tests.ledger.builders import TEAM, claim
from tests.support.gateway import wait_for
from tests.support.redis import RedisProcess

DEADLINE = 0.25


class Address:
    """A name that leads to one server now and to another later, as a service's name does."""

    def __init__(self, directory: Path) -> None:
        self.socket = directory / "address.sock"
        self._target = ""
        self._links: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Address:
        self._server = await asyncio.start_unix_server(self._link, self.socket)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for link in self._links:
            link.cancel()
        await asyncio.gather(*self._links, return_exceptions=True)

    def lead_to(self, server: RedisProcess) -> None:
        """New connections go there; those that are open stay where they are."""
        self._target = server.url.removeprefix("unix://")

    async def _link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._links.add(task)
        with contextlib.suppress(OSError, asyncio.CancelledError), contextlib.closing(writer):
            far_reader, far_writer = await asyncio.open_unix_connection(self._target)
            with contextlib.closing(far_writer):
                await asyncio.gather(_carry(reader, far_writer), _carry(far_reader, writer))
        self._links.discard(task)


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[RedisProcess, RedisProcess]]:
    """A master and its replica, in step."""
    for name in ("master", "replica"):
        (tmp_path / name).mkdir()
    port = ("--port", str(_free_port()), "--bind", "127.0.0.1")
    master = RedisProcess(tmp_path / "master", *port)
    master.start()
    replica = RedisProcess(tmp_path / "replica", "--replicaof", "127.0.0.1", port[1])
    replica.start()
    with at(replica) as client:
        wait_for(lambda: client.info("replication")["master_link_status"] == "up", "the replica")
    yield master, replica
    replica.kill()
    master.kill()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def at(server: RedisProcess) -> Iterator[Redis]:
    with Redis.from_url(server.url) as client:
        yield client


@pytest.fixture
async def address(tmp_path: Path) -> AsyncIterator[Address]:
    async with Address(tmp_path) as address:
        yield address


async def admissions_until_one_passes(ledger: Ledger) -> tuple[int, float]:
    """How many failed first, and how long the slowest of them took."""
    failures, slowest = 0, 0.0
    async with asyncio.timeout(20):
        while True:
            started = time.monotonic()
            try:
                assert isinstance(await ledger.admit(claim(cost=5)), Admitted)
            except LedgerUnavailable:
                failures += 1
                slowest = max(slowest, time.monotonic() - started)
                await asyncio.sleep(0)
            else:
                return failures, slowest


async def test_after_the_master_died_and_its_replica_took_over_calls_are_admitted_again(
    pair: tuple[RedisProcess, RedisProcess], address: Address
) -> None:
    master, replica = pair
    address.lead_to(master)
    ledger = Ledger(open_redis(f"unix://{address.socket}"), timeout_seconds=DEADLINE)
    assert isinstance(await ledger.admit(claim(cost=5)), Admitted)
    with at(master) as client:
        client.wait(1, 5000)

    master.kill()
    with pytest.raises(LedgerUnavailable):
        await ledger.admit(claim(cost=5))
    with at(replica) as client:
        client.replicaof("NO", "ONE")
    address.lead_to(replica)

    _, slowest = await admissions_until_one_passes(ledger)
    assert slowest < 2 * DEADLINE + 1
    month = time.strftime("%Y-%m", time.gmtime())
    settled, held = await ledger.spend(TEAM, "team", month)
    assert (settled, held) == (0, 10)  # what was held before the failover is held after it
    await ledger.close()


async def test_a_master_that_was_demoted_is_left_for_the_one_behind_its_address(
    pair: tuple[RedisProcess, RedisProcess], address: Address
) -> None:
    master, replica = pair
    address.lead_to(master)
    ledger = Ledger(open_redis(f"unix://{address.socket}"), timeout_seconds=DEADLINE)
    assert isinstance(await ledger.admit(claim(cost=5)), Admitted)

    with at(replica) as new, at(master) as old:
        old.wait(1, 5000)
        new.replicaof("NO", "ONE")
        # Its connections stay open; it only refuses to write.
        old.replicaof("127.0.0.1", 1)
    address.lead_to(replica)

    failures, _ = await admissions_until_one_passes(ledger)
    assert failures >= 1
    await ledger.close()


async def test_a_store_without_memory_admits_nothing_and_keeps_nothing_of_what_it_refused(
    redis_process: RedisProcess,
) -> None:
    ledger = Ledger(open_redis(redis_process.url), timeout_seconds=DEADLINE)
    assert isinstance(await ledger.admit(claim(cost=5)), Admitted)
    with at(redis_process) as client:
        before = {name: client.dump(name) for name in client.keys("th:*")}
        client.config_set("maxmemory", 1)

        with pytest.raises(LedgerUnavailable, match=r"OOM|OutOfMemory"):
            await ledger.admit(claim(cost=5))

        assert {name: client.dump(name) for name in client.keys("th:*")} == before
        client.config_set("maxmemory", 0)
    await admissions_until_one_passes(ledger)
    await ledger.close()


async def test_a_store_that_was_killed_and_read_its_file_again_has_lost_nothing(
    redis_process: RedisProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = Ledger(open_redis(redis_process.url), timeout_seconds=DEADLINE)
    admitted = [await ledger.admit(claim(cost=5)) for _ in range(200)]
    assert all(isinstance(answer, Admitted) for answer in admitted)

    redis_process.kill()
    redis_process.start()

    failures, _ = await admissions_until_one_passes(ledger)
    month = time.strftime("%Y-%m", time.gmtime())
    assert await ledger.spend(TEAM, "team", month) == (0, 201 * 5)
    with capsys.disabled():
        print(
            f"\nRedis killed -9 after 200 admissions: 200 are there again, {failures} calls failed"
        )
    await ledger.close()
