"""One YAML file as plain data, with the position of every value and key.

Stricter than YAML where YAML surprises: a key written twice is an error (PyYAML silently takes the
last one), so are anchors, aliases, merge keys and tags, numbers in base 8 or 60, and keys that
YAML 1.1 reads as something other than text (`on`, `no`, `1`). The only module that imports yaml.

Read event by event: each is a short call of the C parser, so that threads which answer requests get
their turn. Positions outweigh the data many times, so they are looked up when there is a problem.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from typing import Any

import yaml
from yaml.events import (
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)
from yaml.nodes import ScalarNode

from tollhouse.policy.problems import PolicyProblem

Path = tuple[str | int, ...]
"""Where a value is in its document: mapping keys and list indexes from the root."""

_TAG = "tag:yaml.org,2002:"
_INT = re.compile(r"[-+]?(0|[1-9][0-9_]*)")
_FLOAT = re.compile(r"[-+]?[0-9][0-9_]*\.[0-9_]*([eE][-+]?[0-9]+)?")
# YAML 1.1, section 5.1: everything printable, and these controls.
_NOT_YAML = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_DEEPEST = 32
_ANCHOR = "anchors and aliases (& and *) are not used here"
_TAGGED = "tags (!) are not used here"
_LOADER: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a file, counted from 1."""

    line: int
    column: int


@dataclass(slots=True)
class Marks:
    """Where each value and each key of a document begins."""

    values: dict[Path, Mark] = field(default_factory=dict)
    keys: dict[Path, Mark] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a file holds: dict, list, str, int, Decimal, bool, date, datetime, None.

    `unread` is where it has values that are written as they may not be. If nothing could be read,
    `data` is None.
    """

    data: Any
    problems: list[PolicyProblem]
    unread: frozenset[Path]


@dataclass
class Document:
    """A file as it was read; `file` is the name used in problems.

    `removed` is what was taken out of its data for being wrong. Paths in what is left are then
    those of the data without it; `as_written` gives those of the file.
    """

    file: str
    text: str = ""
    removed: frozenset[Path] = frozenset()

    def read(self) -> Reading:
        """Its data and what is wrong: all problems, not the first."""
        reader = _Reader(self)
        data = reader.read()
        return Reading(data, reader.problems, frozenset(reader.unread))

    def problem(self, path: Path, message: str, *, at_key: bool = False) -> PolicyProblem:
        """A problem with the value at `path` or the nearest thing around it that is written."""
        return self.problem_at(self.mark(path, at_key=at_key), message)

    def mark(self, path: Path, *, at_key: bool = False) -> Mark:
        """Where the value (or the key) at `path` is, or the nearest thing around it."""
        marks, path = self.marks, self.as_written(path)
        if at_key and path in marks.keys:
            return marks.keys[path]
        while path and path not in marks.values:
            path = path[:-1]
        return marks.values.get(path, Mark(1, 1))

    def problem_at(self, mark: Mark, message: str) -> PolicyProblem:
        """A problem at a place."""
        return PolicyProblem(self.file, mark.line, mark.column, message)

    def as_written(self, path: Path) -> Path:
        """Where in the file what is at `path` of its data stands: items of lists may be gone."""
        written: Path = ()
        for part in path:
            at = self._item_as_written(written, part) if isinstance(part, int) else part
            written = (*written, at)
        return written

    def _item_as_written(self, path: Path, index: int) -> int:
        gone = sorted(
            each[-1]
            for each in self.removed
            if each[:-1] == path and isinstance(each[-1], int)
        )  # fmt: skip
        for each in gone:
            index += each <= index
        return index

    def lost(self, path: Path) -> set[str]:
        """The names of what was removed from the mapping at `path`."""
        return {str(each[-1]) for each in self.removed if each[:-1] == path}

    def is_whole(self, path: Path) -> bool:
        """Whether all that is written at `path` is still there, and what it is in."""
        written = self.as_written(path)
        return not any(
            each[: len(written)] == written or written[: len(each)] == each for each in self.removed
        )

    @cached_property
    def marks(self) -> Marks:
        """Where everything in it begins; found when first asked for."""
        marks = Marks()
        _Reader(self, marks).read()
        return marks


class _Unreadable(Exception):
    """What follows in the file cannot be read; the problem is noted."""


class _Reader:
    def __init__(self, document: Document, marks: Marks | None = None) -> None:
        self.problems: list[PolicyProblem] = []
        self.unread: set[Path] = set()
        self._document = document
        self._marks = marks
        self._depth = 0
        self._events: Iterator[Any] = iter(())

    def read(self) -> Any:
        text = self._document.text
        try:
            self._refuse_characters(text)
            self._events = yaml.parse(text, Loader=_LOADER)
            return self._only_document()
        except yaml.MarkedYAMLError as error:
            self._add_syntax_error(error, text)
        except _Unreadable:
            pass
        return None

    def _refuse_characters(self, text: str) -> None:
        if found := _NOT_YAML.search(text):
            before = text[: found.start()]
            mark = Mark(before.count("\n") + 1, found.start() - before.rfind("\n"))
            message = f"not valid YAML: the character U+{ord(found[0]):04X} is not allowed"
            self.problems.append(self._document.problem_at(mark, message))
            raise _Unreadable

    def _only_document(self) -> Any:
        documents, data = 0, None
        for event in self._events:
            documents += isinstance(event, DocumentStartEvent)
            if documents > 1:
                self._add(event.start_mark, "a file holds one document: remove '---'")
                raise _Unreadable
            if isinstance(event, NodeEvent):
                data = self._value(event, ())
        return data

    def _add_syntax_error(self, error: yaml.MarkedYAMLError, text: str) -> None:
        mark, reason = error.problem_mark or error.context_mark, error.problem
        line = text.splitlines()[mark.line : mark.line + 1] if mark else []
        if any("${" in part for part in line):
            reason = f"{reason}; inside {{ }} write ${{…}} in quotes"
        elif any("\t" in part for part in line):
            reason = f"{reason}; indent with spaces, YAML does not allow tabs"
        self._add(mark, f"not valid YAML: {reason}")

    def _add(self, mark: Any, message: str) -> None:
        self.problems.append(self._document.problem_at(_mark(mark), message))

    def _leave_out(self, path: Path, event: Any, message: str) -> None:
        self.unread.add(path)
        self._add(event.start_mark, message)

    def _value(self, event: Any, path: Path) -> Any:
        if self._marks is not None:
            self._marks.values[path] = _mark(event.start_mark)
        if event.anchor is not None:
            self._leave_out(path, event, _ANCHOR)
        if getattr(event, "tag", None) is not None:
            self._leave_out(path, event, _TAGGED)
        if isinstance(event, ScalarEvent):
            return self._scalar(event, path)
        if isinstance(event, MappingStartEvent | SequenceStartEvent):
            return self._collection(event, path)
        return None

    def _collection(self, event: Any, path: Path) -> Any:
        self._depth += 1
        if self._depth > _DEEPEST:
            self._add(event.start_mark, "nested too deeply")
            raise _Unreadable
        is_mapping = isinstance(event, MappingStartEvent)
        value = self._mapping(path) if is_mapping else self._sequence(path)
        self._depth -= 1
        return value

    def _sequence(self, path: Path) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := next(self._events), SequenceEndEvent):
            items.append(self._value(event, (*path, len(items))))
        return items

    def _mapping(self, path: Path) -> dict[str, Any]:
        pairs: dict[str, Any] = {}
        first: dict[str, Any] = {}
        while not isinstance(event := next(self._events), MappingEndEvent):
            if wrong := _wrong_key(event, first):
                self._leave_out((*path, getattr(event, "value", "")), event, wrong)
                self._skip_pair(event, path)
                continue
            key = event.value
            first[key] = event
            pairs[key] = self._value(next(self._events), (*path, key))
            if self._marks is not None:
                self._marks.keys[(*path, key)] = _mark(event.start_mark)
        return pairs

    def _skip_pair(self, key: Any, path: Path) -> None:
        if isinstance(key, MappingStartEvent | SequenceStartEvent):
            self._collection(key, (*path, -1))
        self._value(next(self._events), (*path, -1))

    def _scalar(self, event: Any, path: Path) -> Any:
        try:
            return _SCALARS[_kind(event)](event.value)
        except KeyError:
            self._leave_out(path, event, _TAGGED)
        except ValueError as error:
            self._leave_out(path, event, str(error))
        return None


def _wrong_key(event: Any, first: dict[str, Any]) -> str | None:
    """What is wrong with a mapping's key; `first` has those before it."""
    if event.anchor is not None:
        return _ANCHOR
    kind = _kind(event) if isinstance(event, ScalarEvent) and event.tag is None else ""
    if kind == "merge":
        return "merge keys (<<) are not used here"
    if kind != "str":
        return "YAML does not read this key as text: put it in quotes"
    if event.value in first:
        line = first[event.value].start_mark.line + 1
        return f"'{event.value}' is written twice here, first on line {line}"
    return None


def _kind(event: Any) -> str:
    """What YAML 1.1 takes a scalar for: "str", "int", "merge", … by its look, unless quoted."""
    value: str = event.value
    if event.implicit[0]:
        for tag, looks in _LOADER.yaml_implicit_resolvers.get(value[:1], ()):
            if looks.match(value):
                return str(tag).removeprefix(_TAG)
    return "str"


def _mark(mark: Any) -> Mark:
    return Mark(mark.line + 1, mark.column + 1) if mark else Mark(1, 1)


def _integer(value: str) -> int:
    if not _INT.fullmatch(value):
        raise ValueError("YAML reads this as a number in base 2, 8, 16 or 60: write it in base 10")
    return int(value)


def _decimal(value: str) -> Decimal:
    if not _FLOAT.fullmatch(value):
        raise ValueError("not a plain decimal number")
    return Decimal(value)


def _timestamp(value: str) -> Any:
    node = ScalarNode(f"{_TAG}timestamp", value)
    try:
        return yaml.constructor.SafeConstructor().construct_yaml_timestamp(node)
    except ValueError as error:
        raise ValueError("there is no such date") from error


def _boolean(value: str) -> bool:
    return value.lower() in ("true", "yes", "on")


_SCALARS: dict[str, Callable[[str], Any]] = {
    "str": str,
    "int": _integer,
    "float": _decimal,
    "bool": _boolean,
    "null": lambda _value: None,
    "timestamp": _timestamp,
}
