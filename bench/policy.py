"""The policies of the benchmark: limits of every kind at every level, none of which is reached,
but by the keys that are there to be refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import bodies
from tollhouse import keys
from tollhouse.keys import sha256_hex

_LIMITS = (
    "{requests_per_minute: 100000000, tokens_per_minute: 1000000000000, monthly_spend_usd: 4000000}"
)
_TEAMS = 100
LEVELS = ("key", "project", "team", "alias", "org")
"""That can have limits, in the order in which fewer of them have some."""
DENIED = "bench-denied"
"""An alias that no key may call."""


@dataclass(frozen=True, slots=True)
class Keys:
    """One that may, one over its limit of requests, one whose budget is too small, and others."""

    plain: str
    limited: str
    broke: str
    many: Sequence[str] = ()


def make_keys(many: int = 0) -> Keys:
    """New ones."""
    others = tuple(keys.generate() for _ in range(many))
    return Keys(keys.generate(), keys.generate(), keys.generate(), others)


def write(directory: Path, upstream: str, chosen: Keys, levels: int = len(LEVELS)) -> Path:
    """The tree in `directory`, whose provider is at that URL of this machine. Only the first so
    many of LEVELS have limits."""
    (directory / "teams").mkdir(parents=True)
    secret = directory.parent / "provider.key"
    secret.write_text("bench-provider-key")
    for name, text in _tree(upstream, secret, chosen, _Limits(levels)).items():
        (directory / name).write_text(text)
    for number in range(min(_TEAMS, len(chosen.many))):
        text = _team_of_many(number, chosen.many[number::_TEAMS])
        (directory / "teams" / f"many-{number:03}.yaml").write_text(text)
    return directory


class _Limits:
    def __init__(self, levels: int) -> None:
        self._limited = LEVELS[:levels]

    def of(self, level: str) -> str:
        return _LIMITS if level in self._limited else "{}"


def _tree(upstream: str, secret: Path, chosen: Keys, limits: _Limits) -> dict[str, str]:
    return {
        "org.yaml": f"org: bench\nlimits: {limits.of('org')}\n",
        "providers.yaml": "providers:\n"
        + "".join(
            f'  {name}: {{dialect: openai, base_url: "{upstream}{path}/v1", '
            f'api_key: "file:{secret}"}}\n'
            for name, path in _providers().items()
        ),
        "models.yaml": "models:\n"
        + "".join(_model(name, limits) for name in (*_providers(), DENIED)),
        "teams/bench.yaml": _team(chosen, limits),
    }


def _providers() -> dict[str, str]:
    """By alias, for which each is named: where in the upstream it answers."""
    bursts = {bodies.burst(count): f"/burst-{count}" for count in bodies.BURSTS}
    return {bodies.MODEL: "", bodies.PACED: "/paced", **bursts}


def _model(name: str, limits: _Limits) -> str:
    provider = bodies.MODEL if name == DENIED else name
    return (
        f"  {name}: {{provider: {provider}, model: bench-model-1, defaults: {{temperature: 0.2}}, "
        f"max_output_tokens: 1000, limits: {limits.of('alias')}, "
        "price: {input_per_million: 0.15, output_per_million: 0.6}}\n"
    )


def _team(chosen: Keys, limits: _Limits) -> str:
    entry = "      - {{id: {}, sha256: {}, limits: {}}}\n".format
    broke = "{monthly_spend_usd: 0.000001}"
    return (
        f"team: bench\nlimits: {limits.of('team')}\nprojects:\n  bench:\n"
        f'    allowed_models: ["*"]\n    denied_models: [{DENIED}]\n'
        f"    limits: {limits.of('project')}\n    keys:\n"
        + entry("bench-plain", sha256_hex(chosen.plain), limits.of("key"))
        + entry("bench-limited", sha256_hex(chosen.limited), "{requests_per_minute: 1}")
        + entry("bench-broke", sha256_hex(chosen.broke), broke)
    )


def _team_of_many(number: int, secrets: Sequence[str]) -> str:
    lines = [
        f"team: many-{number:03}",
        f"limits: {_LIMITS}",
        "projects:",
        "  many:",
        "    allowed_models: [bench]",
        f"    limits: {_LIMITS}",
        "    keys:",
    ]
    lines += [
        f"      - {{id: many-{number:03}-{n:04}, sha256: {sha256_hex(key)}, limits: {_LIMITS}}}"
        for n, key in enumerate(secrets)
    ]
    return "\n".join([*lines, ""])
