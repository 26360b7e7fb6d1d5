"""What is read of /proc and of Redis."""

from __future__ import annotations

import os

import pytest

from bench import processes, store
from bench.processes import Used

_SECOND = os.sysconf("SC_CLK_TCK")
_STAT = f"42 (a (b) c) S 7 1 1 0 -1 0 1 1 1 1 {2 * _SECOND} {_SECOND} 0 0 20 0 1 0 5 4096 10 0"


def test_a_process_is_read_whatever_its_name_holds() -> None:
    stat = processes.parse_stat(_STAT)
    assert stat.parent == 7
    assert stat.used == Used(3.0, 10 * os.sysconf("SC_PAGE_SIZE"))


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (["/x/envoy/_bin/envoy", "-c", "envoy.yaml"], "envoy"),
        (["/x/redis-server unixsocket:/tmp/redis.sock"], "redis"),
        (["/x/python", "-m", "authz_service", "--policies", "p"], "authz_service"),
        (["/x/python", "-m", "tollhouse", "up"], "other"),
        (["node", "start-server.js"], "other"),
        ([], "other"),
    ],
)
def test_a_part_is_known_by_its_command_line(command: list[str], name: str) -> None:
    assert processes.part(command, "other") == name


def test_this_process_uses_memory() -> None:
    assert processes.used_as_one(os.getpid(), "tests")["tests"].rss_bytes > 0


def test_parts_of_one_name_are_added_up() -> None:
    one, other = {"envoy": Used(1.0, 10)}, {"envoy": Used(2.0, 20), "redis": Used(4.0, 40)}
    assert processes.added(one, other) == {"envoy": Used(3.0, 30), "redis": Used(4.0, 40)}


def test_what_a_request_asks_of_redis_is_the_difference_of_two_readings() -> None:
    stats = {"total_net_input_bytes": 100, "total_net_output_bytes": 50}
    before = store.parse({"cmdstat_evalsha": {"calls": 10}, "cmdstat_info": {"calls": 9}}, stats)
    commands = {"cmdstat_evalsha": {"calls": 16}, "cmdstat_hget": {"calls": 20}}
    after = store.parse(commands, {"total_net_input_bytes": 300, "total_net_output_bytes": 60})
    assert after.since(before, 2) == {
        "redis.scripts": 3,
        "redis.commands": 13,
        "redis.bytes_in": 100,
        "redis.bytes_out": 5,
    }
