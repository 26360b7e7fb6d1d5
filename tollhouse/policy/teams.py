"""Compiles teams, projects and keys: who may call which alias, until when, within what limits.

File by file, so that a reload compiles what changed: a file's part depends on the file itself, on
what is common to all (`Common`) and, for a file of keys, on the project that they live in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from tollhouse.policy.access import AccessCompiler, Level, Place, effective_models
from tollhouse.policy.compiled import BlockedAt, Key, Limits, ModelRule, Project, Team, read_only
from tollhouse.policy.limits import compile_limits
from tollhouse.policy.problems import PolicyProblem
from tollhouse.policy.selectors import Selectors, UnknownSelector
from tollhouse.policy.team_files import AccessFile, KeyFile, KeysFile, TeamFile
from tollhouse.policy.tree import Source


def expiry_moment(expires: date | None, zone: ZoneInfo) -> float | None:
    """The first moment, in seconds since the epoch, at which a key is expired.

    A date counts through its last second in `zone`; a time without offset is a time in `zone`.
    """
    if expires is None:
        return None
    if not isinstance(expires, datetime):
        expires = datetime.combine(expires + timedelta(days=1), time.min)
    return (expires if expires.tzinfo else expires.replace(tzinfo=zone)).timestamp()


@dataclass(frozen=True, slots=True)
class Common:
    """What every file of teams and keys is compiled under. `top` are the org's environments;
    `environments` their names, None where they cannot be known."""

    owner: str | None
    zone: ZoneInfo
    environments: frozenset[str] | None
    top: tuple[Level, ...]
    selectors: Selectors
    refused_hashes: frozenset[str]


@dataclass(frozen=True, slots=True)
class Home:
    """Where a key lives: the levels above it, the widest first."""

    team: str
    project: str
    levels: tuple[Level, ...]

    def above(self, env: str | None) -> list[Level]:
        return [each for level in self.levels for each in level.under(env)]


@dataclass(frozen=True, slots=True)
class Part:
    """What one file adds. `claims` counts the ids and hashes in it, those written twice too."""

    keys: tuple[Key, ...]
    claims: int
    problems: tuple[PolicyProblem, ...]
    team: Team | None = None
    homes: Mapping[str, Home] = field(default_factory=dict)


class PartCompiler:
    """Compiles one file, once."""

    def __init__(self, common: Common) -> None:
        self._common = common
        self._access = AccessCompiler(common.selectors, common.environments)
        self._keys: list[Key] = []
        self._claims = 0
        self._above: dict[tuple[str, str | None], tuple[Level, ...]] = {}
        self._models: dict[tuple[object, ...], frozenset[str]] = {}

    def team(self, source: Source[TeamFile]) -> Part:
        """A file under `teams/`."""
        file = source.model
        place = Place(source.document, (), "team", file.team)
        level = self._access.level(place, file, file.environments)
        homes: dict[str, Home] = {}
        projects = {name: self._project(source, level, name, homes) for name in file.projects}
        team = Team(
            name=file.team,
            owner=file.owner or self._common.owner,
            limits=level.limits,
            projects=read_only(projects),
            model_limits=self._model_limits(place, file),
            env_limits=read_only(level.env_limits),
        )
        return self._part(team, homes)

    def keys(self, source: Source[KeysFile], home: Home) -> Part:
        """A file under `keys/`."""
        self._add_keys(Place(source.document, (), "project", home.project), source.model.keys, home)
        return self._part()

    def _part(self, team: Team | None = None, homes: Mapping[str, Home] | None = None) -> Part:
        problems = tuple(self._access.problems)
        return Part(tuple(self._keys), self._claims, problems, team, homes or {})

    def _project(
        self, source: Source[TeamFile], team: Level, name: str, homes: dict[str, Home]
    ) -> Project:
        file = source.model.projects[name]
        place = Place(source.document, ("projects", name), "project", name)
        level = self._access.level(place, file, file.environments)
        homes[name] = Home(source.model.team, name, (team, level))
        self._add_keys(place, file.keys, homes[name])
        return Project(
            name=name,
            team=source.model.team,
            limits=level.limits,
            model_limits=self._model_limits(place, file),
            env_limits=read_only(level.env_limits),
        )

    def _add_keys(self, place: Place, keys: Iterable[KeyFile], home: Home) -> None:
        for index, key in enumerate(keys):
            at = Place(place.document, (*place.path, "keys", index), "key", key.id)
            self._keys.append(self._key(at, home, key))
            self._claims += 2 + len(key.previous)

    def _key(self, place: Place, home: Home, key: KeyFile) -> Key:
        self._access.check_env(place, key.env)
        levels = (*self._levels_above(home, key.env), self._access.level(place, key))
        rules = tuple([level.rule for level in levels])
        return Key(
            id=key.id,
            sha256=key.sha256,
            team=home.team,
            project=home.project,
            env=key.env,
            blocked_at=self._blocked_at(key, levels),
            expires_at=expiry_moment(key.expires, self._common.zone),
            models=self._effective(home, rules, key.env),
            rules=rules,
            limits=levels[-1].limits,
            metadata=read_only(key.metadata),
            model_limits=self._model_limits(place, key),
            shadow_rules=tuple([level.shadow for level in levels if level.shadow]),
            previous=read_only(self._previous(key)),
        )

    # Most keys of a project differ in nothing but their names: what they share is made once.
    def _levels_above(self, home: Home, env: str | None) -> tuple[Level, ...]:
        levels = self._above.get((home.project, env))
        if levels is None:
            top = [level for level in self._common.top if level.rule.env == env]
            levels = self._above[home.project, env] = (*top, *home.above(env))
        return levels

    def _effective(
        self, home: Home, rules: tuple[ModelRule, ...], env: str | None
    ) -> frozenset[str]:
        given = (home.project, env, rules[-1].allowed, rules[-1].denied)
        if given not in self._models:
            self._models[given] = self._common.selectors.shared(effective_models(rules))
        return self._models[given]

    def _previous(self, key: KeyFile) -> dict[str, float]:
        zone = self._common.zone
        moments = {
            old.sha256: expiry_moment(old.valid_until, zone)
            for old in key.previous
            if old.sha256 not in self._common.refused_hashes
        }
        return {sha256: moment for sha256, moment in moments.items() if moment is not None}

    def _blocked_at(self, key: KeyFile, levels: Iterable[Level]) -> BlockedAt | None:
        demo: BlockedAt | None = "demo" if key.sha256 in self._common.refused_hashes else None
        return next((level.blocked_at for level in levels if level.blocked_at), demo)

    def _model_limits(self, place: Place, access: AccessFile) -> Mapping[str, Limits]:
        for name in access.model_limits:
            try:
                self._common.selectors.select(name)
            except UnknownSelector as error:
                at = place.problem(str(error), "model_limits", name, at_key=True)
                self._access.problems.append(at)
        return read_only({name: compile_limits(each) for name, each in access.model_limits.items()})
