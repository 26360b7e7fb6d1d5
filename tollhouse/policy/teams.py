"""Compiles teams, projects and keys: who may call which alias, until when, within what limits."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from types import MappingProxyType
from zoneinfo import ZoneInfo

from tollhouse.demo import DEMO_HASHES
from tollhouse.policy.access import AccessCompiler, Level, Place, effective_models
from tollhouse.policy.compiled import BlockedAt, Key, Limits, Org, Project, Team
from tollhouse.policy.files import AccessFile, KeyFile, KeysFile, OrgFile, TeamFile
from tollhouse.policy.limits import compile_limits
from tollhouse.policy.problems import PolicyProblem, suggestion
from tollhouse.policy.selectors import Selectors, UnknownSelector
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
class _Home:
    """Where a key lives: the levels above it, the widest first."""

    team: str
    project: str
    levels: tuple[Level, ...]

    def above(self, env: str | None) -> list[Level]:
        return [each for level in self.levels for each in level.under(env)]


class TeamCompiler:
    """Collects the teams and keys of a policy, and the problems among them."""

    def __init__(
        self,
        org: Org,
        file: Source[OrgFile],
        selectors: Selectors,
        declared: Iterable[str] | None,
        *,
        allow_demo_keys: bool,
    ) -> None:
        self.teams: dict[str, Team] = {}
        self.keys: dict[str, Key] = {}
        self._org = org
        self._zone = ZoneInfo(org.time_zone)
        self._selectors = selectors
        self._refused_hashes = frozenset() if allow_demo_keys else DEMO_HASHES
        self._first_seen: dict[tuple[str, str], str] = {}
        self._homes: dict[str, dict[str, _Home]] = {}
        self._access = AccessCompiler(selectors, declared)
        top = Place(file.document, (), "org", org.name)
        self._top = [
            self._access.level(top.of(env), rules) for env, rules in file.model.environments.items()
        ]

    @property
    def problems(self) -> list[PolicyProblem]:
        """Everything found so far."""
        return self._access.problems

    def add(self, source: Source[TeamFile]) -> None:
        """Compile one team file."""
        file = source.model
        place = Place(source.document, (), "team", file.team)
        self._once(place, ("team",), ("team", file.team), f"team '{file.team}'")
        level = self._access.level(place, file, file.environments)
        homes = self._homes.setdefault(file.team, {})
        projects = {name: self._project(source, level, name, homes) for name in file.projects}
        self.teams[file.team] = Team(
            name=file.team,
            owner=file.owner or self._org.owner,
            limits=level.limits,
            projects=MappingProxyType(projects),
            model_limits=self._model_limits(place, file),
            env_limits=MappingProxyType(level.env_limits),
        )

    def add_keys(self, source: Source[KeysFile], *, all_teams: bool = True) -> None:
        """Compile one file of keys, after all teams; without `all_teams` one may be missing."""
        file, homes = source.model, self._homes.get(source.model.team)
        if homes is None:
            if not all_teams:
                return
            near = suggestion(file.team, self._homes)
            self.problems.append(source.problem(("team",), f"unknown team '{file.team}'{near}"))
        elif file.project not in homes:
            near = suggestion(file.project, homes)
            message = f"the team '{file.team}' has no project '{file.project}'{near}"
            self.problems.append(source.problem(("project",), message))
        else:
            for index, key in enumerate(file.keys):
                place = Place(source.document, ("keys", index), "key", key.id)
                self._add_key(place, homes[file.project], key)

    def _project(
        self, source: Source[TeamFile], team: Level, name: str, homes: dict[str, _Home]
    ) -> Project:
        file = source.model.projects[name]
        place = Place(source.document, ("projects", name), "project", name)
        level = self._access.level(place, file, file.environments)
        homes[name] = _Home(source.model.team, name, (team, level))
        for index, key in enumerate(file.keys):
            at = Place(source.document, (*place.path, "keys", index), "key", key.id)
            self._add_key(at, homes[name], key)
        return Project(
            name=name,
            team=source.model.team,
            limits=level.limits,
            model_limits=self._model_limits(place, file),
            env_limits=MappingProxyType(level.env_limits),
        )

    def _add_key(self, place: Place, home: _Home, key: KeyFile) -> None:
        self._check_unique(place, key)
        self._access.check_env(place, key.env)
        top = [level for level in self._top if level.rule.env == key.env]
        levels = [*top, *home.above(key.env), self._access.level(place, key)]
        rules = tuple(level.rule for level in levels)
        self.keys[key.id] = Key(
            id=key.id,
            sha256=key.sha256,
            team=home.team,
            project=home.project,
            env=key.env,
            blocked_at=self._blocked_at(key, levels),
            expires_at=expiry_moment(key.expires, self._zone),
            models=effective_models(rules),
            rules=rules,
            limits=levels[-1].limits,
            metadata=MappingProxyType(dict(key.metadata)),
            model_limits=self._model_limits(place, key),
            shadow_rules=tuple(level.shadow for level in levels if level.shadow),
            previous=MappingProxyType(self._previous(key)),
        )

    def _previous(self, key: KeyFile) -> dict[str, float]:
        moments = {
            old.sha256: expiry_moment(old.valid_until, self._zone)
            for old in key.previous
            if old.sha256 not in self._refused_hashes
        }
        return {sha256: moment for sha256, moment in moments.items() if moment is not None}

    def _blocked_at(self, key: KeyFile, levels: Iterable[Level]) -> BlockedAt | None:
        if key.sha256 in self._refused_hashes:
            return "demo"
        return next((level.blocked_at for level in levels if level.blocked_at), None)

    def _model_limits(self, place: Place, access: AccessFile) -> Mapping[str, Limits]:
        for name in access.model_limits:
            try:
                self._selectors.select(name)
            except UnknownSelector as error:
                at = place.problem(str(error), "model_limits", name, at_key=True)
                self.problems.append(at)
        return MappingProxyType(
            {name: compile_limits(limits) for name, limits in access.model_limits.items()}
        )

    def _check_unique(self, place: Place, key: KeyFile) -> None:
        self._once(place, ("id",), ("id", key.id), f"the key id '{key.id}'")
        self._once(place, ("sha256",), ("sha256", key.sha256), _short(key.sha256))
        for index, old in enumerate(key.previous):
            path = ("previous", index, "sha256")
            self._once(place, path, ("sha256", old.sha256), _short(old.sha256))

    def _once(
        self, place: Place, path: tuple[str | int, ...], identity: tuple[str, str], what: str
    ) -> None:
        here = place.problem(f"{what} is used twice", *path)
        first = self._first_seen.setdefault(identity, f"{here.file}:{here.line}")
        if first != f"{here.file}:{here.line}":
            message = f"{what} is used twice, first at {first}"
            self.problems.append(place.problem(message, *path))


def _short(sha256: str) -> str:
    return f"the sha256 {sha256[:8]}…"
