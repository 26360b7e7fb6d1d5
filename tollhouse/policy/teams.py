"""Compiles teams, projects and keys: who may call which alias, until when, within what limits."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Literal
from zoneinfo import ZoneInfo

from tollhouse.demo import DEMO_HASHES
from tollhouse.money import usd_to_nano
from tollhouse.policy.compiled import BlockedAt, Key, Limits, ModelRule, Org, Project, Team
from tollhouse.policy.documents import Path
from tollhouse.policy.files import AccessFile, KeyFile, LimitsFile, ProjectFile, TeamFile
from tollhouse.policy.problems import PolicyProblem
from tollhouse.policy.selectors import Selectors, UnknownSelector
from tollhouse.policy.tree import Source


def compile_limits(limits: LimitsFile) -> Limits:
    """Limits of any level."""
    compiled = Limits(
        requests_per_minute=limits.requests_per_minute,
        tokens_per_minute=limits.tokens_per_minute,
        requests_per_day=limits.requests_per_day,
        tokens_per_day=limits.tokens_per_day,
        max_parallel_requests=limits.max_parallel_requests,
        daily_spend_nanousd=_nano(limits.daily_spend_usd),
        weekly_spend_nanousd=_nano(limits.weekly_spend_usd),
        monthly_spend_nanousd=_nano(limits.monthly_spend_usd),
        budget_mode=limits.budget_mode,
    )
    return compiled if compiled.has_budget else replace(compiled, budget_mode="hard")


def _nano(spend: Decimal | None) -> int | None:
    return None if spend is None else usd_to_nano(spend)


def effective_models(rules: Iterable[ModelRule]) -> frozenset[str]:
    """What may be called under all rules at once.

    The intersection of what the levels allow, minus what any level denies. If no level states
    what it allows, nothing.
    """
    stated = [rule.allowed for rule in rules if rule.allowed is not None]
    allowed = frozenset.intersection(*stated) if stated else frozenset()
    return allowed.difference(*(rule.denied for rule in rules))


def expiry_moment(expires: date | None, zone: ZoneInfo) -> float | None:
    """The first moment, in seconds since the epoch, at which a key is expired.

    A date counts through its last second in `zone`; a time without offset is a time in `zone`.
    """
    if expires is None:
        return None
    if not isinstance(expires, datetime):
        expires = datetime.combine(expires + timedelta(days=1), time.min)
    return (expires if expires.tzinfo else expires.replace(tzinfo=zone)).timestamp()


class TeamCompiler:
    """Collects the teams and keys of a policy, and the problems among them."""

    def __init__(self, org: Org, selectors: Selectors, *, allow_demo_keys: bool) -> None:
        self.teams: dict[str, Team] = {}
        self.keys: dict[str, Key] = {}
        self.problems: list[PolicyProblem] = []
        self._org = org
        self._zone = ZoneInfo(org.time_zone)
        self._selectors = selectors
        self._refused_hashes = frozenset() if allow_demo_keys else DEMO_HASHES
        self._first_seen: dict[tuple[str, str], str] = {}

    def add(self, source: Source[TeamFile]) -> None:
        """Compile one team file."""
        file = source.model
        self._once(source, ("team",), ("team", file.team), f"team '{file.team}'")
        rule = self._rule(source, (), "team", file.team, file)
        for name in file.projects:
            self._add_project(source, rule, name)
        self.teams[file.team] = Team(
            name=file.team,
            owner=file.owner or self._org.owner,
            limits=compile_limits(file.limits),
            projects=MappingProxyType(
                {
                    name: Project(
                        name,
                        file.team,
                        compile_limits(project.limits),
                        self._model_limits(source, ("projects", name), project),
                    )
                    for name, project in file.projects.items()
                }
            ),
            model_limits=self._model_limits(source, (), file),
        )

    def _add_project(self, source: Source[TeamFile], team_rule: ModelRule, name: str) -> None:
        path: Path = ("projects", name)
        project = source.model.projects[name]
        rule = self._rule(source, path, "project", name, project)
        for index, key in enumerate(project.keys):
            key_path = (*path, "keys", index)
            self._check_unique(source, key_path, key)
            key_rule = self._rule(source, key_path, "key", key.id, key)
            compiled = self._key(source.model, name, key, (team_rule, rule, key_rule))
            own = self._model_limits(source, key_path, key)
            self.keys[key.id] = replace(compiled, model_limits=own)

    def _model_limits(
        self, source: Source[TeamFile], path: Path, access: AccessFile
    ) -> Mapping[str, Limits]:
        for name in access.model_limits:
            try:
                self._selectors.select(name)
            except UnknownSelector as error:
                here = (*path, "model_limits", name)
                self.problems.append(source.problem(here, str(error), at_key=True))
        return MappingProxyType(
            {name: compile_limits(limits) for name, limits in access.model_limits.items()}
        )

    def _key(self, team: TeamFile, project: str, key: KeyFile, rules: tuple[ModelRule, ...]) -> Key:
        return Key(
            id=key.id,
            sha256=key.sha256,
            team=team.team,
            project=project,
            env=key.env,
            blocked_at=self._blocked_at(team, team.projects[project], key),
            expires_at=expiry_moment(key.expires, self._zone),
            models=effective_models(rules),
            rules=rules,
            limits=compile_limits(key.limits),
            metadata=MappingProxyType(dict(key.metadata)),
        )

    def _blocked_at(self, team: TeamFile, project: ProjectFile, key: KeyFile) -> BlockedAt | None:
        if key.sha256 in self._refused_hashes:
            return "demo"
        levels: tuple[tuple[BlockedAt, AccessFile], ...] = (
            ("team", team),
            ("project", project),
            ("key", key),
        )
        return next((level for level, file in levels if file.blocked), None)

    def _rule(
        self,
        source: Source[TeamFile],
        path: Path,
        level: Literal["team", "project", "key"],
        name: str,
        access: AccessFile,
    ) -> ModelRule:
        allowed, denied = access.allowed_models, access.denied_models
        return ModelRule(
            level=level,
            name=name,
            allowed=None
            if allowed is None
            else self._select(source, (*path, "allowed_models"), allowed),
            denied=self._select(source, (*path, "denied_models"), denied),
        )

    def _select(
        self, source: Source[TeamFile], path: Path, entries: Iterable[str]
    ) -> frozenset[str]:
        selected: set[str] = set()
        for index, entry in enumerate(entries):
            try:
                selected |= self._selectors.select(entry)
            except UnknownSelector as error:
                self.problems.append(source.problem((*path, index), str(error)))
        return frozenset(selected)

    def _check_unique(self, source: Source[TeamFile], path: Path, key: KeyFile) -> None:
        self._once(source, (*path, "id"), ("id", key.id), f"the key id '{key.id}'")
        short = f"the sha256 {key.sha256[:8]}…"
        self._once(source, (*path, "sha256"), ("sha256", key.sha256), short)

    def _once(
        self, source: Source[TeamFile], path: Path, identity: tuple[str, str], what: str
    ) -> None:
        here = source.problem(path, f"{what} is used twice")
        first = self._first_seen.setdefault(identity, f"{here.file}:{here.line}")
        if first != f"{here.file}:{here.line}":
            message = f"{what} is used twice, first at {first}"
            self.problems.append(source.problem(path, message))
