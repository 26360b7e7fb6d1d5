"""Policy trees of all shapes, for Hypothesis; and their files."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st

from tests.unit.policy.reference import Data, Tree
from tollhouse.keys import sha256_hex, with_checksum

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
ALIASES = ("small", "large", "large-2", "vectors", "uploads")
_ENVIRONMENTS = ("prod", "staging", "dev")
_TAGS = ("cheap", "eu")
_NAMES = ("web", "ops", "small", "lab")  # a team may be called as a model is, or as a project
_ZONES = ("UTC", "Europe/Berlin", "Africa/Cairo", "Pacific/Auckland", "America/New_York")
_PRICE = {"input_per_million": 1, "output_per_million": 2, "per_request": 3}
_PROVIDER = {"dialect": "openai", "base_url": "https://llm.example.com/v1", "api_key": "${KEY}"}
_PROVIDERS = {"upstream": _PROVIDER, "claude": {**_PROVIDER, "dialect": "anthropic"}}
_OPENAI = {"provider": "upstream", "model": "m"}
_CLAUDE = {"provider": "claude", "model": "m"}
_SERVING: list[Data] = [
    _OPENAI,
    _CLAUDE,
    {"deployments": [_OPENAI, {**_CLAUDE, "order": 2}]},
    {**_OPENAI, "endpoints": ["embeddings"]},
    {**_OPENAI, "endpoints": ["embeddings", "chat/completions"]},
    {"deployments": [_CLAUDE, _OPENAI], "endpoints": ["messages", "embeddings"]},
    {"provider": "upstream", "endpoints": ["files"]},
    {"provider": "upstream", "endpoints": ["files", "batches"]},
]
"""What can stand behind an alias."""

_days = st.integers(-2, 2).map(lambda days: NOON.date() + timedelta(days=days))
_times = st.integers(-40, 40).map(lambda hours: NOON + timedelta(hours=hours))
expiries: st.SearchStrategy[date] = st.one_of(
    _days, _times, _times.map(lambda time: time.replace(tzinfo=None))
)
moments = st.builds(
    lambda quarters, seconds: NOON.timestamp() + 900 * quarters + seconds,
    st.integers(-300, 300),
    st.integers(-1, 1),
)
_limits = st.fixed_dictionaries(
    {},
    optional={
        "requests_per_minute": st.integers(1, 9),
        "tokens_per_day": st.integers(1, 9),
        "max_parallel_requests": st.integers(1, 9),
        "daily_spend_usd": st.sampled_from([0, 3, 0.5]),
        "monthly_spend_usd": st.sampled_from([0, 7, 0.25]),
        "budget_mode": st.sampled_from(["hard", "soft"]),
    },
)


class _Plain(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:
        return True  # policy files have no anchors


def text_of(data: object) -> str:
    """As YAML, in the order given."""
    return yaml.dump(data, Dumper=_Plain, sort_keys=False, allow_unicode=True)


def secret(number: int) -> str:
    """A key, as its caller sends it."""
    return with_checksum(f"{number:032}")


def files(tree: Tree) -> dict[str, str]:
    """The tree as the text of its files."""
    named = {
        "org.yaml": tree.org,
        "providers.yaml": tree.providers,
        "models.yaml": tree.models,
        **{f"teams/{team['team']}.yaml": team for team in tree.teams},
        **{f"keys/{number}.yaml": keys for number, keys in enumerate(tree.keys)},
    }
    return {name: text_of(data) for name, data in named.items()}


def write(directory: Path, texts: dict[str, str]) -> Path:
    """Makes `directory` hold these files and no others."""
    for name in ("teams", "keys"):
        (directory / name).mkdir(parents=True, exist_ok=True)
    for path in directory.rglob("*.yaml"):
        path.unlink()
    for name, text in texts.items():
        (directory / name).write_text(text, encoding="utf-8")
    return directory


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    """Trees that can be loaded."""
    environments = draw(st.lists(st.sampled_from(_ENVIRONMENTS), unique=True))
    models = draw(_models())
    maker = _Maker(draw, environments, models)
    teams = [maker.team(name) for name in draw(_some(_NAMES))]
    homes = [(team["team"], name) for team in teams for name in team["projects"]]
    beside = draw(st.lists(st.sampled_from(homes), max_size=2)) if homes else []
    return Tree(
        org=maker.org(),
        providers={"providers": _PROVIDERS},
        models=models,
        teams=teams,
        keys=[{"team": team, "project": name, "keys": maker.keys()} for team, name in beside],
    )


@st.composite
def edited(draw: st.DrawFn, tree: Tree) -> Tree:
    """The same tree after an edit of one of its files, which need not be a good one."""
    org, models, teams, keys = tree.org, tree.models, tree.teams, tree.keys
    said = draw(st.sampled_from([{"blocked": True}, {"denied_models": ["*"]}, {"owner": "me"}]))
    file = draw(st.sampled_from(["org", "environment", "models", "team", "teams", "keys"]))
    if file == "org":
        org = {**org, "time_zone": draw(st.sampled_from(_ZONES))}
    elif file == "environment":
        environments = org["environments"].items()
        org = {**org, "environments": {env: {**rules, **said} for env, rules in environments}}
    elif file == "models":
        models = {**models, "groups": {"a": [draw(st.sampled_from(ALIASES))]}}
    elif file == "team":
        # Earlier edits may have removed every team.
        teams = [*({**team, **said} for team in teams[:1]), *teams[1:]]
    elif file == "teams":
        teams = draw(st.permutations(teams))[:-1]
    else:
        keys = keys[1:]
    return Tree(org, tree.providers, models, list(teams), keys)


def _some(names: tuple[str, ...], least: int = 1, most: int = 3) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(names), min_size=least, max_size=most, unique=True)


@st.composite
def _models(draw: st.DrawFn) -> Data:
    models: Data = {}
    names = draw(_some(ALIASES, most=4))
    for alias in names:
        models[alias] = {
            **draw(st.sampled_from(_SERVING)),
            "price": _PRICE,
            "tags": draw(_some(_TAGS, least=0)),
            "limits": draw(_limits),
            "fallbacks": [name for name in draw(st.permutations(names))[:2] if name != alias],
        }
    members = st.lists(st.sampled_from(_selectors(models)), min_size=1, max_size=2)
    return {"models": models, "groups": draw(st.dictionaries(st.sampled_from(["a", "b"]), members))}


def _selectors(models: Data) -> list[str]:
    """Every way to name something that is there."""
    tags = sorted({f"tag:{tag}" for model in models.values() for tag in model["tags"]})
    patterns = ["*", f"{next(iter(models))[:3]}*", f"?{next(iter(models))[1:]}"]
    return [*models, *patterns, *tags]


class _Maker:
    def __init__(self, draw: st.DrawFn, environments: list[str], models: Data) -> None:
        self._draw = draw
        self._environments = environments
        self._models = list(models["models"])
        self._lists = st.lists(
            st.sampled_from(
                [*_selectors(models["models"]), *(f"group:{g}" for g in models["groups"])]
            ),
            max_size=2,
        )
        self._number = 0

    def org(self) -> Data:
        environments = {env: self._rules() for env in self._environments}
        zone = self._draw(st.sampled_from(_ZONES))
        limits = self._draw(_limits)
        return {"org": "acme", "time_zone": zone, "limits": limits, "environments": environments}

    def team(self, name: str) -> Data:
        projects = {name: self._project() for name in self._draw(_some(_NAMES, least=0, most=2))}
        return {"team": name, **self._access(), **self._of_envs(), "projects": projects}

    def keys(self) -> list[Data]:
        return [self._key() for _ in range(self._draw(st.integers(0, 3)))]

    def _project(self) -> Data:
        allowing = self._draw(st.sampled_from([{"allowed_models": ["*"]}, {}]))
        return {**allowing, **self._access(), **self._of_envs(), "keys": self.keys()}

    def _key(self) -> Data:
        own = self._access() if self._draw(st.booleans()) else {}
        key = {"id": f"key-{self._number}", "sha256": self._hash(), **own}
        if self._environments:
            key["env"] = self._draw(st.sampled_from(self._environments))
        if self._draw(st.booleans()):
            key["expires"] = self._draw(expiries)
        if self._draw(st.booleans()):
            key["previous"] = [{"sha256": self._hash(), "valid_until": self._draw(expiries)}]
        return key

    def _hash(self) -> str:
        self._number += 1
        return sha256_hex(secret(self._number - 1))

    def _of_envs(self) -> Data:
        envs = self._draw(st.lists(st.sampled_from(self._environments or ["-"]), unique=True))
        return {"environments": {env: self._rules() for env in envs if self._environments}}

    def _access(self) -> Data:
        limited = self._draw(st.dictionaries(st.sampled_from(self._models), _limits, max_size=1))
        return {**self._rules(), **({"model_limits": limited} if limited else {})}

    def _rules(self) -> Data:
        optional: dict[str, st.SearchStrategy[Any]] = {
            "allowed_models": st.one_of(st.just(["*"]), self._lists),
            "denied_models": self._lists,
            "limits": _limits,
            "shadow": st.fixed_dictionaries(
                {}, optional={"allowed_models": self._lists, "denied_models": self._lists}
            ),
        }
        blocked = {"blocked": True} if self._draw(st.integers(0, 14)) == 14 else {}
        return {**self._draw(st.fixed_dictionaries({}, optional=optional)), **blocked}
