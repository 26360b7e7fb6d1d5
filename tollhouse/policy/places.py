"""Where a compiled policy is written: the levels of a key, and each limit, by file and line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tollhouse.policy.access import Place
from tollhouse.policy.compiled import Key, Scope
from tollhouse.policy.documents import Document, Path
from tollhouse.policy.files import RulesFile
from tollhouse.policy.team_files import KeyFile
from tollhouse.policy.tree import PolicyTree


@dataclass(frozen=True, slots=True)
class Written:
    """One level as its author wrote it."""

    directory: str
    place: Place
    rules: RulesFile

    def at(self, *path: str | int, at_key: bool = False) -> str:
        """file:line of what is written at `path` of the level, or of the level."""
        whole = (*self.place.path, *path)
        return _line(self.directory, self.place.document, whole, at_key=at_key)


class Places:
    """Finds what a key of one policy is under. `tree` is what the policy was compiled from."""

    def __init__(self, tree: PolicyTree) -> None:
        self._tree = tree
        self._teams = {source.model.team: source for source in tree.teams}

    def levels(self, key: Key) -> tuple[Written, ...]:
        """The levels of a key in the order of `Key.rules`, each before its environment."""
        return tuple(self._levels(key))

    def limit(self, key: Key, scope: Scope, field: str) -> str:
        """file:line of one limit of a scope that a call of the key counts in; `field` as it is
        written (`monthly_spend_usd`)."""
        document, path = self._scope(key, scope)
        path = (*path, *_within(scope), field)
        return self._at(document, path)

    def model(self, alias: str, *path: str | int) -> str:
        """file:line of an alias in models.yaml, or of a field of it."""
        return self._at(self._tree.models.document, ("models", alias, *path))

    def provider(self, name: str) -> str:
        """file:line of a provider."""
        return self._at(self._tree.providers.document, ("providers", name))

    def _at(self, document: Document, path: Path) -> str:
        return _line(self._tree.directory, document, path, at_key=True)

    def _levels(self, key: Key) -> Iterator[Written]:
        org = self._tree.org
        top = Place(org.document, (), "org", org.model.org)
        yield from self._environment(top, org.model.environments, key.env)
        source = self._teams[key.team]
        team = Place(source.document, (), "team", key.team)
        yield self._written(team, source.model)
        yield from self._environment(team, source.model.environments, key.env)
        file = source.model.projects[key.project]
        project = Place(source.document, ("projects", key.project), "project", key.project)
        yield self._written(project, file)
        yield from self._environment(project, file.environments, key.env)
        yield self._key(key)

    def _key(self, key: Key) -> Written:
        source = self._teams[key.team]
        lists: list[tuple[Document, Path, list[KeyFile]]] = [
            (source.document, ("projects", name, "keys"), project.keys)
            for name, project in source.model.projects.items()
        ]
        lists += [(each.document, ("keys",), each.model.keys) for each in self._tree.keys]
        return next(
            self._written(Place(document, (*path, index), "key", key.id), file)
            for document, path, files in lists
            for index, file in enumerate(files)
            if file.id == key.id
        )

    def _environment(
        self, place: Place, environments: Mapping[str, RulesFile], env: str | None
    ) -> Iterator[Written]:
        if env is not None and env in environments:
            yield self._written(place.of(env), environments[env])

    def _written(self, place: Place, rules: RulesFile) -> Written:
        return Written(self._tree.directory, place, rules)

    def _scope(self, key: Key, scope: Scope) -> tuple[Document, Path]:
        if scope.level == "alias":
            return self._tree.models.document, ("models", scope.name)
        if scope.level == "org":
            return self._tree.org.document, ()
        level = next(
            written.place
            for written in self.levels(key)
            if written.place.level == scope.level and written.place.env is None
        )
        return level.document, level.path


def _line(directory: str, document: Document, path: Path, *, at_key: bool) -> str:
    return f"{directory}/{document.file}:{document.mark(path, at_key=at_key).line}"


def _within(scope: Scope) -> tuple[str, ...]:
    """The path from a level to the limits that hold there for a model or an environment."""
    if scope.env:
        return ("environments", scope.env, "limits")
    return ("model_limits", scope.model) if scope.model else ("limits",)
