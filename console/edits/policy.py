"""The policy as use cases read it: files and what they compile to, and where in them things are."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import cached_property

from console.problems import ManageError
from tollhouse.policy.compiled import Snapshot
from tollhouse.policy.compiler import selectors_of
from tollhouse.policy.documents import Document, Path
from tollhouse.policy.management import Management
from tollhouse.policy.management_files import TokenFile
from tollhouse.policy.selectors import Selectors
from tollhouse.policy.team_files import KeyFile, ProjectFile, TeamFile
from tollhouse.policy.tree import PolicyTree, Source

_TEAM_LINE = re.compile(r"^[\"']?team[\"']?[ ]*:", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """A key as written: `path` is its place in the document."""

    key: KeyFile
    document: Document
    path: Path
    team: str
    project: str

    @property
    def line(self) -> int:
        """Where its item begins, counted from 1."""
        return _line_of_item(self.document.text, self.key.sha256)


@dataclass(frozen=True)
class Policy:
    """`snapshot` is compiled from `tree`. Immutable; what is looked up is kept."""

    tree: PolicyTree
    snapshot: Snapshot

    @cached_property
    def keys(self) -> dict[str, KeyEntry]:
        """By id."""
        found: dict[str, KeyEntry] = {}
        for source in self.tree.teams:
            for name, project in source.model.projects.items():
                path: Path = ("projects", name, "keys")
                found |= _entries(source.document, path, project.keys, source.model.team, name)
        for file in self.tree.keys:
            model = file.model
            found |= _entries(file.document, ("keys",), model.keys, model.team, model.project)
        return found

    @cached_property
    def teams(self) -> dict[str, Source[TeamFile]]:
        """By name."""
        return {source.model.team: source for source in self.tree.teams}

    @cached_property
    def selectors(self) -> Selectors:
        """What the entries of lists of models stand for."""
        return selectors_of(self.tree)[0]

    @cached_property
    def tokens(self) -> dict[str, tuple[int, TokenFile]]:
        """By id, with their place in the list; none where management is off."""
        management = self.tree.management
        tokens = management.model.tokens if management else []
        return {token.id: (index, token) for index, token in enumerate(tokens)}

    @property
    def management(self) -> Management:
        """Raises ManageError `not_found` where management is off."""
        if self.snapshot.management is None:
            raise ManageError("not_found", "management is off: there is no management.yaml")
        return self.snapshot.management

    @property
    def management_document(self) -> Document:
        """Raises ManageError `not_found` where management is off."""
        if self.tree.management is None:
            raise ManageError("not_found", "management is off: there is no management.yaml")
        return self.tree.management.document

    @cached_property
    def counts(self) -> Counter[tuple[str, str | None]]:
        """How many keys there are, by team and project, and by team (project None)."""
        homes = [(entry.team, entry.project) for entry in self.keys.values()]
        return Counter[tuple[str, str | None]](homes) + Counter((team, None) for team, _ in homes)

    @cached_property
    def _lines(self) -> dict[str, Document]:
        # Not the tree's own documents, which outlive this policy: positions outweigh the data.
        return {}

    def line(self, document: Document, path: Path) -> int:
        """Where a key of a mapping, or an item, is written, counted from 1."""
        mine = self._lines.setdefault(document.file, Document(document.file, document.text))
        return mine.mark(path, at_key=True).line

    def project(self, team: str, project: str) -> ProjectFile | None:
        """None: there is no such team, or project of it."""
        source = self.teams.get(team)
        return source.model.projects.get(project) if source else None


def _entries(
    document: Document, path: Path, keys: list[KeyFile], team: str, project: str
) -> dict[str, KeyEntry]:
    return {
        key.id: KeyEntry(key, document, (*path, index), team, project)
        for index, key in enumerate(keys)
    }


def team_line(document: Document) -> int:
    """Where a team's file says its name."""
    found = _TEAM_LINE.search(document.text)
    return document.text.count("\n", 0, found.start()) + 1 if found else 1


def _line_of_item(text: str, sha256: str) -> int:
    # Positions of all values take a second in large files; a hash is written as it is, once.
    lines = text[: text.find(sha256)].split("\n")
    column = len(lines[-1].rstrip(" \"'").removesuffix("sha256:"))
    for number in range(len(lines), 0, -1):
        bare = lines[number - 1].lstrip(" ")
        if bare.startswith("-") and len(lines[number - 1]) - len(bare) < max(column, 1):
            return number
    return len(lines)
