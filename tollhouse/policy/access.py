"""What each level says of models and environments, compiled; and what is left under all of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from tollhouse.policy.compiled import BlockedAt, Limits, ModelRule, RuleLevel
from tollhouse.policy.documents import Document, Path
from tollhouse.policy.files import RulesFile, ShadowFile
from tollhouse.policy.limits import compile_limits
from tollhouse.policy.problems import PolicyProblem, suggestion
from tollhouse.policy.selectors import Selectors, UnknownSelector

_NONE: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Place:
    """A level of the policy: where it is written, and what it is called."""

    document: Document
    path: Path
    level: RuleLevel
    name: str
    env: str | None = None

    def of(self, env: str) -> Place:
        """One environment of this level."""
        path = (*self.path, "environments", env)
        return Place(self.document, path, self.level, self.name, env)

    def problem(self, message: str, *path: str | int, at_key: bool = False) -> PolicyProblem:
        """A problem with what is written at `path` of this level."""
        return self.document.problem((*self.path, *path), message, at_key=at_key)


@dataclass(frozen=True, slots=True)
class Level:
    """The compiled rules of one level. `environments` are those it says something of."""

    rule: ModelRule
    shadow: ModelRule | None
    limits: Limits
    blocked_at: BlockedAt | None
    environments: Mapping[str, Level] = field(default_factory=dict)

    def under(self, env: str | None) -> Iterator[Level]:
        """What holds for a key of this environment: the level, and then the environment of it."""
        yield self
        if env is not None and env in self.environments:
            yield self.environments[env]

    @property
    def env_limits(self) -> dict[str, Limits]:
        """The limits of its environments, of those that have any."""
        limited = {env: level.limits for env, level in self.environments.items()}
        return {env: limits for env, limits in limited.items() if limits != Limits()}


def effective_models(rules: Iterable[ModelRule]) -> frozenset[str]:
    """What may be called under all rules at once.

    The intersection of what the levels allow, minus what any level denies. If no level states
    what it allows, nothing: an environment only narrows.
    """
    stated = [rule for rule in rules if rule.allowed is not None]
    if all(rule.env for rule in stated):
        return frozenset()
    allowed = frozenset.intersection(*(rule.allowed for rule in stated if rule.allowed is not None))
    return allowed.difference(*(rule.denied for rule in rules))


class AccessCompiler:
    """Compiles levels and collects the problems in them.

    `declared`: the environments there are, None where they cannot be known.
    """

    def __init__(self, selectors: Selectors, declared: Iterable[str] | None) -> None:
        self.problems: list[PolicyProblem] = []
        self._selectors = selectors
        self._is_known = declared is not None
        self._declared = frozenset(declared or ())

    def level(
        self, place: Place, file: RulesFile, environments: Mapping[str, RulesFile] | None = None
    ) -> Level:
        """One level with its environments."""
        blocked_at: BlockedAt = "environment" if place.env else place.level
        return Level(
            rule=self._rule(place, file),
            shadow=self._rule(place, file.shadow, "shadow") if file.shadow else None,
            limits=compile_limits(file.limits),
            blocked_at=blocked_at if file.blocked else None,
            environments=self._environments(place, environments or {}),
        )

    def select(
        self, place: Place, entries: Collection[str], *path: str, allowing: bool = False
    ) -> frozenset[str]:
        """The aliases that a list at `path` of a level stands for; `allowing`: that it allows."""
        if not entries:
            return _NONE
        select = self._selectors.allow if allowing else self._selectors.select
        selected: set[str] = set()
        for index, entry in enumerate(entries):
            try:
                selected |= select(entry)
            except UnknownSelector as error:
                self.problems.append(place.problem(str(error), *path, index))
        return self._selectors.shared(frozenset(selected))

    def check_env(self, place: Place, env: str | None) -> None:
        """That a key is in one of the declared environments, if any are declared."""
        if not place.document.is_whole((*place.path, "env")):
            return
        if env is None and self._declared:
            known = ", ".join(sorted(self._declared))
            self.problems.append(place.problem(f"the field 'env' is missing: one of {known}"))
        elif env is not None and self._declared and env not in self._declared:
            message = f"unknown environment '{env}'{suggestion(env, self._declared)}"
            self.problems.append(place.problem(message, "env"))

    def _environments(
        self, place: Place, environments: Mapping[str, RulesFile]
    ) -> dict[str, Level]:
        for env in environments:
            if self._is_known and env not in self._declared:
                near = suggestion(env, self._declared)
                hint = near or ": org.yaml has to name it under 'environments'"
                message = f"unknown environment '{env}'{hint}"
                at = place.problem(message, "environments", env, at_key=True)
                self.problems.append(at)
        return {env: self.level(place.of(env), file) for env, file in environments.items()}

    def _rule(self, place: Place, file: RulesFile | ShadowFile, *path: str) -> ModelRule:
        allowed = file.allowed_models
        return ModelRule(
            level=place.level,
            name=place.name,
            allowed=None
            if allowed is None
            else self.select(place, allowed, *path, "allowed_models", allowing=True),
            denied=self.select(place, file.denied_models, *path, "denied_models"),
            env=place.env,
        )
