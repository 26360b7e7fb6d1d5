"""One YAML file as plain data, with the position of every value and key.

Stricter than YAML where YAML surprises: a key written twice is an error (PyYAML silently takes the
last one), so are anchors, aliases, merge keys and tags, numbers in base 8 or 60, and keys that
YAML 1.1 reads as something other than text (`on`, `no`, `1`). The only module that imports yaml.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from tollhouse.policy.problems import PolicyProblem

Path = tuple[str | int, ...]
"""Where a value is in its document: mapping keys and list indexes from the root."""

_TAG = "tag:yaml.org,2002:"
_INT = re.compile(r"[-+]?(0|[1-9][0-9_]*)")
_FLOAT = re.compile(r"[-+]?[0-9][0-9_]*\.[0-9_]*([eE][-+]?[0-9]+)?")
# YAML 1.1, section 5.1: everything printable, and these controls.
_NOT_YAML = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_DEEPEST = 32
_LOADER: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a file, counted from 1."""

    line: int
    column: int


@dataclass(slots=True)
class Document:
    """A file's data (dict, list, str, int, Decimal, bool, date, datetime, None) and its marks."""

    file: str
    data: Any = None
    values: dict[Path, Mark] = field(default_factory=dict)
    keys: dict[Path, Mark] = field(default_factory=dict)

    def problem(self, path: Path, message: str, *, at_key: bool = False) -> PolicyProblem:
        """A problem with the value at `path` or the nearest thing around it that is written."""
        return self.problem_at(self.mark(path, at_key=at_key), message)

    def mark(self, path: Path, *, at_key: bool = False) -> Mark:
        """Where the value (or the key) at `path` is, or the nearest thing around it."""
        if at_key and path in self.keys:
            return self.keys[path]
        while path and path not in self.values:
            path = path[:-1]
        return self.values.get(path, Mark(1, 1))

    def problem_at(self, mark: Mark, message: str) -> PolicyProblem:
        """A problem at a place."""
        return PolicyProblem(self.file, mark.line, mark.column, message)


def read_document(file: str, text: str) -> tuple[Document, list[PolicyProblem]]:
    """Read one YAML document; `file` is the name used in problems. All problems, not the first."""
    reader = _Reader(Document(file))
    try:
        reader.refuse_characters(text)
        if not reader.problems:
            reader.refuse_events(text)
        if not reader.problems:
            reader.read(yaml.compose(text, Loader=_LOADER))
    except yaml.MarkedYAMLError as error:
        reader.add_syntax_error(error, text)
    return reader.document, reader.problems


class _Reader:
    def __init__(self, document: Document) -> None:
        self.document = document
        self.problems: list[PolicyProblem] = []

    def refuse_characters(self, text: str) -> None:
        if found := _NOT_YAML.search(text):
            before = text[: found.start()]
            mark = Mark(before.count("\n") + 1, found.start() - before.rfind("\n"))
            message = f"not valid YAML: the character U+{ord(found[0]):04X} is not allowed"
            self.problems.append(self.document.problem_at(mark, message))

    def refuse_events(self, text: str) -> None:
        """What would make composing wrong or costly: references, several documents, depth."""
        depth = documents = 0
        for event in yaml.parse(text, Loader=_LOADER):
            if getattr(event, "anchor", None) is not None:
                self._add(event.start_mark, "anchors and aliases (& and *) are not used here")
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            documents += isinstance(event, yaml.DocumentStartEvent)
            if depth > _DEEPEST or documents > 1:
                deep = depth > _DEEPEST
                what = "nested too deeply" if deep else "a file holds one document: remove '---'"
                self._add(event.start_mark, what)
                return

    def read(self, root: Node | None) -> None:
        if root is not None:
            self.document.data = self._value(root, ())

    def add_syntax_error(self, error: yaml.MarkedYAMLError, text: str) -> None:
        mark, reason = error.problem_mark or error.context_mark, error.problem
        line = text.splitlines()[mark.line : mark.line + 1] if mark else []
        if any("${" in part for part in line):
            reason = f"{reason}; inside {{ }} write ${{…}} in quotes"
        elif any("\t" in part for part in line):
            reason = f"{reason}; indent with spaces, YAML does not allow tabs"
        self._add(mark, f"not valid YAML: {reason}")

    def _add(self, mark: Any, message: str) -> None:
        self.problems.append(self.document.problem_at(_mark(mark), message))

    def _value(self, node: Node, path: Path) -> Any:
        self.document.values[path] = _mark(node.start_mark)
        if isinstance(node, MappingNode) and node.tag == f"{_TAG}map":
            return {key: self._value(value, (*path, key)) for key, value in self._pairs(node, path)}
        if isinstance(node, SequenceNode) and node.tag == f"{_TAG}seq":
            return [self._value(item, (*path, index)) for index, item in enumerate(node.value)]
        if isinstance(node, ScalarNode):
            return self._scalar(node)
        return self._add(node.start_mark, "tags (!) are not used here")

    def _pairs(self, node: MappingNode, path: Path) -> Iterator[tuple[str, Node]]:
        for key_node, value_node in node.value:
            key, mark = key_node.value, key_node.start_mark
            if key_node.tag == f"{_TAG}merge":
                self._add(mark, "merge keys (<<) are not used here")
            elif key_node.tag != f"{_TAG}str":
                self._add(mark, "YAML does not read this key as text: put it in quotes")
            elif (first := self.document.keys.get((*path, key))) is not None:
                self._add(mark, f"'{key}' is written twice here, first on line {first.line}")
            else:
                self.document.keys[(*path, key)] = _mark(mark)
                yield key, value_node

    def _scalar(self, node: ScalarNode) -> Any:
        try:
            convert = _SCALARS[node.tag.removeprefix(_TAG)]
            return convert(node)
        except KeyError:
            return self._add(node.start_mark, "tags (!) are not used here")
        except ValueError as error:
            return self._add(node.start_mark, str(error))


def _mark(mark: Any) -> Mark:
    return Mark(mark.line + 1, mark.column + 1) if mark else Mark(1, 1)


def _integer(node: ScalarNode) -> int:
    if not _INT.fullmatch(node.value):
        raise ValueError("YAML reads this as a number in base 2, 8, 16 or 60: write it in base 10")
    return int(node.value)


def _decimal(node: ScalarNode) -> Decimal:
    if not _FLOAT.fullmatch(node.value):
        raise ValueError("not a plain decimal number")
    return Decimal(node.value)


def _timestamp(node: ScalarNode) -> Any:
    try:
        return yaml.constructor.SafeConstructor().construct_yaml_timestamp(node)
    except ValueError as error:
        raise ValueError("there is no such date") from error


def _boolean(node: ScalarNode) -> bool:
    return node.value.lower() in ("true", "yes", "on")


_SCALARS: dict[str, Callable[[ScalarNode], Any]] = {
    "str": lambda node: node.value,
    "int": _integer,
    "float": _decimal,
    "bool": _boolean,
    "null": lambda _node: None,
    "timestamp": _timestamp,
}
