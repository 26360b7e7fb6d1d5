"""All teams and keys of a policy: compiles the files that changed, and puts all together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from types import MappingProxyType
from typing import Any

from tollhouse.policy.compiled import Key, Team, by_hash
from tollhouse.policy.documents import Path
from tollhouse.policy.problems import PolicyProblem, suggestion
from tollhouse.policy.team_files import KeyFile, KeysFile, TeamFile
from tollhouse.policy.teams import Common, Home, Part, PartCompiler
from tollhouse.policy.tree import PolicyTree, Source

_Identity = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Teams:
    """All teams and keys, and what is wrong with them."""

    teams: Mapping[str, Team]
    keys: Mapping[str, Key]
    keys_by_hash: Mapping[str, Key]
    problems: list[PolicyProblem]


@dataclass(frozen=True, slots=True)
class _Made:
    """A part, and the objects it was made of."""

    source: Source[Any]
    home: Home | None
    part: Part


class TeamCompiler:
    """Compiles one tree after another; what is made of the same objects is the same object."""

    def __init__(self) -> None:
        self._common: Common | None = None
        self._made: dict[str, _Made] = {}

    def compile(self, tree: PolicyTree, common: Common) -> Teams:
        """The teams and keys of a tree."""
        if common != self._common:
            self._common, self._made = common, {}
        problems: list[PolicyProblem] = []
        parts = [self._part(source, None) for source in tree.teams]
        homes = _homes(parts)
        for file in tree.keys:
            home = _home(tree, file, homes, problems)
            parts += [self._part(file, home)] if home else []
        here = set(map(id, parts))
        self._made = {file: made for file, made in self._made.items() if id(made.part) in here}
        return _together(tree, parts, problems)

    def _part(self, source: Source[Any], home: Home | None) -> Part:
        file = source.document.file
        made = self._made.get(file)
        if made is None or made.source is not source or made.home is not home:
            made = self._made[file] = _Made(source, home, self._compiled(source, home))
        return made.part

    def _compiled(self, source: Source[Any], home: Home | None) -> Part:
        assert self._common is not None  # noqa: S101 - set before any part is made
        compiler = PartCompiler(self._common)
        return compiler.keys(source, home) if home else compiler.team(source)


def _homes(parts: Iterable[Part]) -> dict[str, dict[str, Home]]:
    homes: dict[str, dict[str, Home]] = {}
    for part in parts:
        if part.team:
            homes.setdefault(part.team.name, {}).update(part.homes)
    return homes


def _home(
    tree: PolicyTree,
    source: Source[KeysFile],
    homes: Mapping[str, Mapping[str, Home]],
    problems: list[PolicyProblem],
) -> Home | None:
    team, project = source.model.team, source.model.project
    if team not in homes and "teams" in tree.broken:
        return None  # it may be the one whose file is broken
    if team not in homes:
        message = f"unknown team '{team}'{suggestion(team, homes)}"
        problems.append(source.problem(("team",), message))
        return None
    if project not in homes[team] and _may_have(tree, team, project):
        return None
    if project not in homes[team]:
        near = suggestion(project, homes[team])
        message = f"the team '{team}' has no project '{project}'{near}"
        problems.append(source.problem(("project",), message))
        return None
    return homes[team][project]


def _may_have(tree: PolicyTree, team: str, project: str) -> bool:
    """Whether the project may be what was taken out of a team's file for being wrong."""
    documents = [source.document for source in tree.teams if source.model.team == team]
    projects = ("projects",)
    return any(projects in each.removed or project in each.lost(projects) for each in documents)


def _together(tree: PolicyTree, parts: list[Part], problems: list[PolicyProblem]) -> Teams:
    teams = {part.team.name: part.team for part in parts if part.team}
    keys = {key.id: key for part in parts for key in part.keys}
    hashes = by_hash(keys)
    if len(teams) < len(tree.teams) or len(keys) + len(hashes) < sum(p.claims for p in parts):
        problems += _repeated([*tree.teams, *tree.keys])
    problems += chain.from_iterable(part.problems for part in parts)
    return Teams(MappingProxyType(teams), MappingProxyType(keys), hashes, problems)


def _repeated(sources: Iterable[Source[Any]]) -> Iterator[PolicyProblem]:
    """What may be there once and is there again."""
    first: dict[_Identity, tuple[Source[Any], Path]] = {}
    for source in sources:
        for identity, what, path in _claims(source.model):
            if identity in first:
                there, its_path = first[identity]
                at = there.problem(its_path, "")
                message = f"{what} is used twice, first at {at.file}:{at.line}"
                yield source.problem(path, message)
            first.setdefault(identity, (source, path))


def _claims(file: TeamFile | KeysFile) -> Iterator[tuple[_Identity, str, Path]]:
    if isinstance(file, KeysFile):
        yield from _key_claims(file.keys, ())
        return
    yield ("team", file.team), f"team '{file.team}'", ("team",)
    for name, project in file.projects.items():
        yield from _key_claims(project.keys, ("projects", name))


def _key_claims(keys: Iterable[KeyFile], above: Path) -> Iterator[tuple[_Identity, str, Path]]:
    for index, key in enumerate(keys):
        path = (*above, "keys", index)
        yield ("id", key.id), f"the key id '{key.id}'", (*path, "id")
        yield ("sha256", key.sha256), _short(key.sha256), (*path, "sha256")
        for number, old in enumerate(key.previous):
            at = (*path, "previous", number, "sha256")
            yield ("sha256", old.sha256), _short(old.sha256), at


def _short(sha256: str) -> str:
    return f"the sha256 {sha256[:8]}…"
