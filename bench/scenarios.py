"""What is measured: for each scenario its cases, the first of which the others are held against."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from bench import bodies, policy
from bench.figures import long_tailed, one_hot
from bench.meter import Case
from bench.parts import GATEWAY, Gateway
from bench.targets import PACED, Target

MANY = 100_000
CAPACITY = "chat-32"
"""The scenario whose requests/s are what half load is half of."""

_STREAMS = 200
# Waiting until all is settled and still.
_BETWEEN_SECONDS = 0.8
_KEYS_CASES = 6
_LEAST_RATE = 5.0
_DRAWS = 200_000


@dataclass(frozen=True, slots=True)
class Scenario:
    """Its cases are run in turns, so often, each for so many seconds."""

    name: str
    title: str
    rounds: int
    seconds: float
    cases: Callable[[Ready], list[Case]]
    needs_many: bool = False
    needs_capacity: bool = False
    lasts_longer: float = 0.0
    """Seconds that a run takes beside its own."""

    def about(self, targets: int) -> float:
        """How many seconds it takes, more or less, where as many targets run."""
        cases = _KEYS_CASES if self.needs_many else targets
        once = self.seconds + self.lasts_longer + _BETWEEN_SECONDS
        return cases * self.rounds * once

    def with_times(self, rounds: int | None, seconds: float | None) -> Scenario:
        """The same, with other times than its own."""
        return replace(self, rounds=rounds or self.rounds, seconds=seconds or self.seconds)


@dataclass(frozen=True, slots=True)
class Ready:
    """What runs: the bare Envoy first, then the gateway, then the peers; and the gateway of many
    keys, where it was asked for. `capacity` is the requests/s of each target at 32 connections."""

    targets: Sequence[Target]
    gateway: Gateway
    many: Gateway | None
    capacity: dict[str, float]


def all_scenarios() -> list[Scenario]:
    """In the order in which they are measured."""
    return [
        Scenario("chat-1", "small chat, 1 connection", 3, 2, _chats(1)),
        Scenario(CAPACITY, "small chat, 32 connections", 4, 3, _chats(32)),
        Scenario("chat-256", "small chat, 256 connections", 3, 2, _chats(256)),
        Scenario(
            "half-load", "small chat, open loop at half load", 3, 4, _half_load, needs_capacity=True
        ),
        Scenario("body-100k", "chat of 100 KB, 16 connections", 3, 2, _bodies(100_000, 16)),
        Scenario("body-5m", "chat of 5 MB, 4 connections", 3, 2, _bodies(5_000_000, 4)),
        Scenario(
            "streams",
            f"{_STREAMS} paced streams at once",
            2,
            2,
            _streams,
            lasts_longer=2 * bodies.paced_seconds(),
        ),
        Scenario("refused", "refused requests, 32 connections", 3, 2, _refused),
        Scenario("keys", f"keys in use, of {MANY:,}", 3, 2, _keys, needs_many=True),
    ]


def full_load(ready: Ready) -> list[Case]:
    """The cases of CAPACITY."""
    return _chats(32)(ready)


def quick(scenario: Scenario) -> Scenario:
    """For a first impression."""
    return scenario.with_times(1, 1)


def _chats(connections: int) -> Callable[[Ready], list[Case]]:
    def cases(ready: Ready) -> list[Case]:
        body = bodies.chat()
        return [Case(one.name, one, body, connections=connections) for one in ready.targets]

    return cases


def _bodies(size: int, connections: int) -> Callable[[Ready], list[Case]]:
    def cases(ready: Ready) -> list[Case]:
        body = bodies.chat_of(size)
        return [Case(one.name, one, body, connections=connections) for one in ready.targets]

    return cases


def _half_load(ready: Ready) -> list[Case]:
    """The bare Envoy carries what the gateway does; each peer half of what it can itself."""
    body = bodies.chat()
    half = {name: max(_LEAST_RATE, full / 2) for name, full in ready.capacity.items()}
    return [
        Case(one.name, one, body, connections=_enough(rate), rate=rate)
        for one in ready.targets
        for rate in [half.get(one.name, half[GATEWAY])]
    ]


def _enough(rate: float) -> int:
    """Connections that keep a rate while each answer takes a second. One that is used more seldom
    is closed by some servers (gunicorn: after two seconds), as wrk is about to use it."""
    return min(256, max(16, round(rate)))


def _streams(ready: Ready) -> list[Case]:
    body = bodies.chat(bodies.PACED, stream=True)
    return [Case(one.name, one, body, PACED, streams=_STREAMS) for one in ready.targets]


def _refused(ready: Ready) -> list[Case]:
    keys, gateway = ready.gateway.keys, ready.gateway
    body = bodies.chat()

    def refused(name: str, key: str, sent: bytes = body) -> Case:
        return Case(name, gateway, sent, keys=(key,), refused=True)

    ours = [
        Case("admitted", gateway, body),
        refused("wrong key (401)", "no-such-key"),
        refused("model not allowed (403)", keys.plain, bodies.chat(policy.DENIED)),
        refused("over the limit (429)", keys.limited),
        refused("over the budget (429)", keys.broke),
    ]
    peers = [one for one in ready.targets if one.name == "litellm"]
    return ours + [
        Case("litellm, wrong key", one, body, keys=("sk-no-such-key",), refused=True)
        for one in peers
    ]


def _keys(ready: Ready) -> list[Case]:
    many = ready.many
    assert many is not None
    keys, body = many.keys.many, bodies.chat()
    used = {f"{count:,}": keys[:count] for count in (1, 10, 1_000, MANY) if count <= len(keys)}
    used["long-tailed"] = [keys[n] for n in long_tailed(len(keys), _DRAWS)]
    used["one hot: 90 %"] = [keys[n] for n in one_hot(len(keys), _DRAWS)]
    return [Case(name, many, body, keys=chosen) for name, chosen in used.items()]
