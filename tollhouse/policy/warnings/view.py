"""A policy as the warnings look at it: its levels with their places, and who reaches what."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from tollhouse.policy.compiled import Snapshot
from tollhouse.policy.compiler import selectors_of
from tollhouse.policy.documents import Document, Path
from tollhouse.policy.files import RulesFile
from tollhouse.policy.selectors import Selectors
from tollhouse.policy.team_files import KeyFile
from tollhouse.policy.tree import PolicyTree

Reach = tuple[str | None, str | None, str | None]
"""Team, project, environment; None is any."""


@dataclass(frozen=True, slots=True, order=True)
class Warned:
    """One warning. `file` is relative to the policy directory; line and column count from 1."""

    file: str
    line: int
    column: int
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Node:
    """A level, or an environment of one, with all levels above it, the widest first."""

    document: Document
    path: Path
    where: str
    rules: RulesFile
    reach: Reach
    parents: tuple[Node, ...] = ()
    key: KeyFile | None = None

    def warn(self, code: str, message: str, *path: str | int, at_key: bool = False) -> Warned:
        """A warning about what is written at `path` of this level."""
        return warned(self.document, code, message, (*self.path, *path), at_key=at_key)


@dataclass(slots=True)
class View:
    """`now` is an aware datetime."""

    tree: PolicyTree
    snapshot: Snapshot
    now: datetime
    nodes: list[Node] = field(default_factory=list)
    reached: dict[Reach, set[str]] = field(default_factory=dict)
    _selected: dict[str, frozenset[str]] = field(default_factory=dict)

    _selectors: Selectors = field(init=False)

    def __post_init__(self) -> None:
        self._selectors, _ = selectors_of(self.tree)
        self.nodes += _nodes(self.tree)
        for key in self.snapshot.keys.values():
            for team, project in ((None, None), (key.team, None), (key.team, key.project)):
                for env in {None, key.env}:
                    self.reached.setdefault((team, project, env), set()).update(key.models)

    def select(self, entry: str) -> frozenset[str]:
        """The aliases of an entry of a list."""
        if entry not in self._selected:
            self._selected[entry] = self._selectors.select(entry)
        return self._selected[entry]

    def opens(self, entry: str) -> frozenset[str]:
        """The aliases that an entry of `allowed_models` allows."""
        return self.select(entry) - (self._selectors.named_only - {entry})

    def models(self, node: Node) -> frozenset[str] | set[str]:
        """The aliases that some key at or below a level may call."""
        if node.key is not None:
            return self.snapshot.keys[node.key.id].models
        return self.reached.get(node.reach, set())


def warned(
    document: Document, code: str, message: str, path: Path, *, at_key: bool = False
) -> Warned:
    """A warning at a place of a document."""
    at = document.problem(path, message, at_key=at_key)
    return Warned(at.file, at.line, at.column, code, message)


def _nodes(tree: PolicyTree) -> Iterator[Node]:
    org = tree.org.model
    name = f"the org '{org.org}'"
    top = Node(tree.org.document, (), name, RulesFile(limits=org.limits), (None, None, None))
    envs = _environments(top, org.environments, {})
    yield from (top, *envs.values())
    homes = {}
    for team in tree.teams:
        file = team.model
        at = Node(
            team.document, (), f"the team '{file.team}'", file, (file.team, None, None), (top,)
        )
        team_envs = _environments(at, file.environments, envs)
        yield from (at, *team_envs.values())
        for project, rules in file.projects.items():
            inner = Node(
                team.document,
                ("projects", project),
                f"the project '{project}'",
                rules,
                (file.team, project, None),
                (top, at),
            )
            inner_envs = _environments(inner, rules.environments, {**envs, **team_envs})
            yield from (inner, *inner_envs.values())
            homes[file.team, project] = (inner, (envs, team_envs, inner_envs))
            path = (*inner.path, "keys")
            yield from _keys(team.document, path, rules.keys, inner, (envs, team_envs, inner_envs))
    for more in tree.keys:
        inner, levels = homes[more.model.team, more.model.project]
        yield from _keys(more.document, ("keys",), more.model.keys, inner, levels)


def _environments(
    node: Node, environments: dict[str, RulesFile], above: dict[str, Node]
) -> dict[str, Node]:
    return {
        env: Node(
            node.document,
            (*node.path, "environments", env),
            f"the environment '{env}' of {node.where}",
            rules,
            (*node.reach[:2], env),
            (*node.parents, *((above[env],) if env in above else ()), node),
        )
        for env, rules in environments.items()
    }


def _keys(
    document: Document,
    path: Path,
    keys: list[KeyFile],
    project: Node,
    environments: tuple[dict[str, Node], ...],
) -> Iterator[Node]:
    for index, key in enumerate(keys):
        envs = (found[key.env] for found in environments if key.env and key.env in found)
        parents = (*project.parents, project, *envs)
        where = f"the key '{key.id}'"
        yield Node(
            document, (*path, index), where, key, (*project.reach[:2], key.env), parents, key
        )
