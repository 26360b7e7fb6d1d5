"""The levels of a policy as bounds of what is below them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from console.edits.narrowing import Bound
from console.edits.policy import Policy
from console.problems import ManageError
from tollhouse.policy.compiled import Limits, ModelRule, RuleLevel
from tollhouse.policy.files import LimitsFile, RulesFile
from tollhouse.policy.limits import compile_limits
from tollhouse.policy.selectors import Selectors, UnknownSelector
from tollhouse.policy.team_files import AccessFile

_ACCESS = ("limits", "model_limits", "allowed_models", "denied_models")


def above_team(policy: Policy, env: str | None = None) -> list[Bound]:
    """The org, and its environment."""
    org = policy.tree.org.model
    top = Bound(ModelRule("org", org.org, None, frozenset()), compile_limits(org.limits))
    return [top, *_environment(policy, "org", org.org, org.environments, env)]


def above_project(policy: Policy, team: str, env: str | None = None) -> list[Bound]:
    """The org and the team, which need not be there, each before its environment."""
    source = policy.teams.get(team)
    own = [] if source is None else _level(policy, "team", team, source.model)
    if source is not None:
        own += _environment(policy, "team", team, source.model.environments, env)
    return [*above_team(policy, env), *own]


def above_key(policy: Policy, team: str, project: str, env: str | None) -> list[Bound]:
    """The org, the team and the project, each before its environment."""
    file = policy.project(team, project)
    if file is None:
        return above_project(policy, team, env)
    own = _level(policy, "project", project, file)
    own += _environment(policy, "project", project, file.environments, env)
    return [*above_project(policy, team, env), *own]


def selected(selectors: Selectors, entries: Iterable[str], param: str) -> dict[str, frozenset[str]]:
    """The aliases that each entry of a list stands for; `param` is the list's name.

    Raises:
        ManageError: `invalid_request`, for one that stands for none, with what is near.
    """
    find = selectors.allow if param.endswith("allowed_models") else selectors.select
    found: dict[str, frozenset[str]] = {}
    for index, entry in enumerate(entries):
        try:
            found[entry] = find(entry)
        except UnknownSelector as error:
            raise ManageError("invalid_request", str(error), param=f"{param}.{index}") from None
    return found


def written(policy: Policy, level: RuleLevel, name: str, data: Mapping[str, object]) -> Bound:
    """A level as it would be written: what its own environments are held to.

    Raises:
        UnknownSelector: it names what there is not.
    """
    access = AccessFile.model_validate({name: data[name] for name in _ACCESS if name in data})
    return _level(policy, level, name, access)[0]


def limits_of(data: Mapping[str, object] | None) -> Limits:
    """Compiled, of limits as they are written."""
    return compile_limits(LimitsFile.model_validate(data or {}))


def _level(policy: Policy, level: RuleLevel, name: str, file: AccessFile) -> list[Bound]:
    of_models = {alias: compile_limits(each) for alias, each in file.model_limits.items()}
    rule = _rule(policy, level, name, file)
    return [Bound(rule, compile_limits(file.limits), of_models)]


def _environment(
    policy: Policy,
    level: RuleLevel,
    name: str,
    environments: Mapping[str, RulesFile],
    env: str | None,
) -> list[Bound]:
    if env is None or env not in environments:
        return []
    file = environments[env]
    return [Bound(_rule(policy, level, name, file, env), compile_limits(file.limits))]


def _rule(
    policy: Policy, level: RuleLevel, name: str, file: RulesFile, env: str | None = None
) -> ModelRule:
    allowed = file.allowed_models
    return ModelRule(
        level=level,
        name=name,
        allowed=None if allowed is None else _all(policy.selectors.allow, allowed),
        denied=_all(policy.selectors.select, file.denied_models),
        env=env,
    )


def _all(find: Callable[[str], frozenset[str]], entries: Iterable[str]) -> frozenset[str]:
    return frozenset[str]().union(*map(find, entries))
