"""What a request is about, found before anything of it is told to who may not see it."""

from __future__ import annotations

from collections.abc import Iterable

from console.actors import Actor
from console.edits.policy import KeyEntry, Policy
from console.permissions import Action, require
from console.problems import ManageError
from tollhouse import keys
from tollhouse.policy.model_files import ModelFile
from tollhouse.policy.problems import suggestion
from tollhouse.policy.team_files import ProjectFile, TeamFile
from tollhouse.policy.tree import Source

_MOST_COMPARED = 1000


def find_key(policy: Policy, actor: Actor, action: Action, ref: str) -> KeyEntry:
    """The key whose id, or string (one that a rotation replaced, too), `ref` is.

    Raises:
        ManageError: `role_not_allowed`, `not_found`; the latter for keys of other teams, too.
    """
    require(actor, action)
    entry = policy.keys.get(ref) or _by_string(policy, ref)
    if entry is None or not actor.sees(entry.team):
        ids = [key_id for key_id, each in policy.keys.items() if actor.sees(each.team)]
        raise _not_found("there is no such key", ref, ids)
    require(actor, action, entry.team)
    return entry


def find_team(policy: Policy, actor: Actor, action: Action, team: str) -> Source[TeamFile]:
    """Raises ManageError `role_not_allowed`, `not_found`."""
    require(actor, action)
    source = policy.teams.get(team)
    if source is None or not actor.sees(team):
        raise _not_found("there is no such team", team, filter(actor.sees, policy.teams))
    require(actor, action, team)
    return source


def find_project(
    policy: Policy, actor: Actor, action: Action, team: str, project: str
) -> tuple[Source[TeamFile], ProjectFile]:
    """The project, and the file that it is in.

    Raises:
        ManageError: `role_not_allowed`, `not_found`.
    """
    require(actor, action)
    source = policy.teams.get(team)
    if source is None or not actor.sees(team):
        raise _not_found("there is no such team", team, filter(actor.sees, policy.teams))
    require(actor, action, team)
    projects = source.model.projects
    if project not in projects:
        raise _not_found("the team has no such project", project, projects)
    return source, projects[project]


def find_model(policy: Policy, actor: Actor, action: Action, alias: str) -> ModelFile:
    """Raises ManageError `role_not_allowed`, `not_found`."""
    require(actor, action)
    models = policy.tree.models.model.models
    if alias not in models:
        raise _not_found("there is no such model", alias, models)
    return models[alias]


def _by_string(policy: Policy, ref: str) -> KeyEntry | None:
    key = policy.snapshot.keys_by_hash.get(keys.sha256_hex(ref))
    return policy.keys.get(key.id) if key else None


def _not_found(message: str, ref: str, known: Iterable[str]) -> ManageError:
    # The string itself is not repeated: it may be a key.
    names = list(known)
    near = suggestion(ref, names).partition(";")[0] if len(names) <= _MOST_COMPARED else ""
    return ManageError("not_found", f"{message}{near}")
