"""What a target asks of Redis: the difference of two INFOs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import redis

_SCRIPTS = ("eval", "evalsha", "fcall")
_OURS = ("info",)


@dataclass(frozen=True, slots=True)
class Asked:
    """Counters since Redis started: script calls, all commands (those in scripts too), bytes."""

    scripts: int
    commands: int
    bytes_in: int
    bytes_out: int

    def since(self, before: Asked, requests: int) -> dict[str, float]:
        """Each a request."""
        return {
            f"redis.{name}": (getattr(self, name) - getattr(before, name)) / requests
            for name in ("scripts", "commands", "bytes_in", "bytes_out")
        }


def read(url: str) -> Asked:
    """Asks it. Raises redis.RedisError."""
    with redis.Redis.from_url(url) as client:
        return parse(client.info("commandstats"), client.info("stats"))


def parse(commands: Mapping[str, Any], stats: Mapping[str, Any]) -> Asked:
    """Of the sections `commandstats` and `stats`, but for what this module itself asks."""
    calls = {name.removeprefix("cmdstat_"): int(of["calls"]) for name, of in commands.items()}
    return Asked(
        scripts=sum(calls.get(name, 0) for name in _SCRIPTS),
        commands=sum(count for name, count in calls.items() if name not in _OURS),
        bytes_in=int(stats["total_net_input_bytes"]),
        bytes_out=int(stats["total_net_output_bytes"]),
    )
