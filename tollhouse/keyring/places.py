"""Where each key is written in a policy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tollhouse.policy.documents import Path
from tollhouse.policy.editing.errors import EditError
from tollhouse.policy.problems import suggestion
from tollhouse.policy.rules import KEY_PREFIXES
from tollhouse.policy.team_files import KeyFile
from tollhouse.policy.tree import PolicyTree


@dataclass(frozen=True, slots=True)
class KeyPlace:
    """A key as written: `path` is its place in `file`; `line` counts from 1."""

    key: KeyFile
    file: str
    path: Path
    line: int


def places(tree: PolicyTree) -> Iterator[KeyPlace]:
    """Every key of the policy."""
    for team in tree.teams:
        for name, project in team.model.projects.items():
            for index, key in enumerate(project.keys):
                path: Path = ("projects", name, "keys", index)
                mark = team.document.marks.values[path]
                yield KeyPlace(key, team.document.file, path, mark.line)
    for file in tree.keys:
        for index, key in enumerate(file.model.keys):
            path = ("keys", index)
            yield KeyPlace(key, file.document.file, path, file.document.marks.values[path].line)


def place_of(tree: PolicyTree, key_id: str) -> KeyPlace:
    """Raises EditError, with the ids that are near, when there is no such key."""
    if key_id.startswith(KEY_PREFIXES):
        raise EditError("this looks like a key: give its id; tollhouse keys identify says which")
    by_id = {place.key.id: place for place in places(tree)}
    if key_id not in by_id:
        raise EditError(f"there is no key '{key_id}'{suggestion(key_id, by_id)}")
    return by_id[key_id]


def home_of(tree: PolicyTree, team: str, project: str, file: str | None) -> tuple[str, Path]:
    """The file and the list in it that a new key of a project belongs in.

    The team's file where it has keys of the project, or nobody else has; else the one file under
    keys/ that has them. `file` chooses among them.

    Raises EditError when there is no such team or project, or no one such file.
    """
    homes = homes_of(tree, team, project)
    if file is not None:
        if file not in homes:
            raise EditError(f"{file} holds no keys of this project; known: {', '.join(homes)}")
        return file, homes[file][0]
    filled = [name for name, (_, count) in homes.items() if count]
    own = next(iter(homes))
    if not filled or own in filled:
        return own, homes[own][0]
    if len(filled) > 1:
        raise EditError(f"choose one with --file: the project has keys in {' and '.join(filled)}")
    return filled[0], homes[filled[0]][0]


def homes_of(tree: PolicyTree, team: str, project: str) -> dict[str, tuple[Path, int]]:
    """By file, the team's first: where the project's list is, and how many keys it has."""
    teams = {source.model.team: source for source in tree.teams}
    if team not in teams:
        raise EditError(f"there is no team '{team}'{suggestion(team, teams)}")
    projects = teams[team].model.projects
    if project not in projects:
        near = suggestion(project, projects)
        raise EditError(f"the team '{team}' has no project '{project}'{near}")
    path: Path = ("projects", project, "keys")
    homes = {teams[team].document.file: (path, len(projects[project].keys))}
    for source in tree.keys:
        if (source.model.team, source.model.project) == (team, project):
            homes[source.document.file] = (("keys",), len(source.model.keys))
    return homes
