"""What stands in the way of a deletion."""

from __future__ import annotations

from collections.abc import Iterator

from console.edits.policy import Policy
from console.problems import ManageError
from tollhouse.policy.files import RulesFile
from tollhouse.policy.team_files import AccessFile

_SHOWN = 20


def require_unused_team(policy: Policy, team: str) -> None:
    """Raises ManageError `in_use`, naming keys, files of keys, and tokens."""
    users = [f"key {key_id}" for key_id, entry in policy.keys.items() if entry.team == team]
    users += [file.document.file for file in policy.tree.keys if file.model.team == team]
    users += [
        f"token {token_id}"
        for token_id, (_, token) in policy.tokens.items()
        if team in (token.teams or ())
    ]
    users += _sign_on(policy, team)
    _require_none(f"the team '{team}'", users)


def require_unused_project(policy: Policy, team: str, project: str) -> None:
    """Raises ManageError `in_use`, naming keys and files of keys."""
    home = (team, project)
    users = [
        f"key {key_id}"
        for key_id, entry in policy.keys.items()
        if (entry.team, entry.project) == home
    ]
    users += [
        file.document.file
        for file in policy.tree.keys
        if (file.model.team, file.model.project) == home
    ]
    _require_none(f"the project '{project}' of the team '{team}'", users)


def require_unused_model(policy: Policy, alias: str) -> None:
    """Raises ManageError `in_use`, naming the groups, models and levels whose lists have its
    name."""
    groups, models = policy.tree.models.model.groups, policy.tree.models.model.models
    users = [f"group {name}" for name, members in groups.items() if alias in members]
    users += [f"model {name}" for name, file in models.items() if alias in file.fallbacks]
    users += [where for where, rules in _levels(policy) if _names(rules, alias)]
    _require_none(f"the model '{alias}'", list(dict.fromkeys(users)))


def _levels(policy: Policy) -> Iterator[tuple[str, RulesFile]]:
    for env, rules in policy.tree.org.model.environments.items():
        yield f"environment {env}", rules
    for team, source in policy.teams.items():
        yield f"team {team}", source.model
        yield from ((f"team {team}", rules) for rules in source.model.environments.values())
        for name, project in source.model.projects.items():
            where = f"project {team}/{name}"
            yield where, project
            yield from ((where, rules) for rules in project.environments.values())
    for key_id, entry in policy.keys.items():
        yield f"key {key_id}", entry.key


def _names(rules: RulesFile, alias: str) -> bool:
    shadow = rules.shadow
    lists = [rules.allowed_models or [], rules.denied_models]
    lists += [shadow.allowed_models or [], shadow.denied_models] if shadow else []
    limited = isinstance(rules, AccessFile) and alias in rules.model_limits
    return limited or any(alias in each for each in lists)


def _sign_on(policy: Policy, team: str) -> list[str]:
    management = policy.tree.management
    rules = management.model.sso.roles if management and management.model.sso else []
    return [f"sso role {each.role}" for each in rules if team in (each.teams or ())]


def _require_none(what: str, users: list[str]) -> None:
    if users:
        more = f" and {len(users) - _SHOWN} more" if len(users) > _SHOWN else ""
        message = f"{what} is in use, by {', '.join(users[:_SHOWN])}{more}: change those first"
        raise ManageError("in_use", message, details={"used_by": users[:1000]})
