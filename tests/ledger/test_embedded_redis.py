"""The embedded server answers where it says, and keeps what it is told."""

import os
import stat
import subprocess
from pathlib import Path

import pytest

from ratelimit_service.ledger.store import open_redis
from tests.support.redis import RedisProcess
from tollhouse.local.embedded_redis import EmbeddedRedis, EmbeddedRedisError


async def test_it_keeps_what_it_was_told_when_it_is_terminated_and_started_again(
    redis_process: RedisProcess,
) -> None:
    async with open_redis(redis_process.url) as client:
        await client.set("toll", "7")
    redis_process.terminate()

    redis_process.start()

    async with open_redis(redis_process.url) as client:
        assert await client.get("toll") == b"7"


async def test_it_opens_no_network_port_and_drops_nothing_when_it_is_full(
    redis_process: RedisProcess,
) -> None:
    async with open_redis(redis_process.url) as client:
        assert (await client.config_get("port"))["port"] == "0"
        assert (await client.config_get("maxmemory-policy"))["maxmemory-policy"] == "noeviction"


def test_a_run_dir_too_deep_for_a_socket_gets_a_short_private_one(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    server = EmbeddedRedis(deep)
    folder = server.socket_path.parent

    assert len(os.fsencode(server.socket_path)) <= 103
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert EmbeddedRedis(deep).socket_path == server.socket_path
    assert EmbeddedRedis(deep.parent).socket_path != server.socket_path
    with subprocess.Popen(server.command(), stdout=subprocess.DEVNULL) as process:
        server.wait_until_ready()
        process.terminate()


def test_a_server_that_does_not_run_is_not_ready(tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path)

    assert not server.is_ready()
    with pytest.raises(EmbeddedRedisError, match="no answer"):
        server.wait_until_ready(timeout_seconds=0.05)
