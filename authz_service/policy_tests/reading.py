"""Reads test files, with every problem in them: like a policy's, by file, line and column."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from authz_service.inputs import InputProblem
from authz_service.policy_tests.files import KeysOf, PolicyTest, TestsFile
from tollhouse.policy.compiled import Alias, Key, Snapshot
from tollhouse.policy.documents import Document
from tollhouse.policy.opened import OpenedPolicy
from tollhouse.policy.problems import PolicyError, PolicyProblem, suggestion
from tollhouse.policy.selectors import UnknownSelector
from tollhouse.policy.wording import problems_of

DEFAULT_FOLDER = "tests"


@dataclass(frozen=True, slots=True)
class Entry:
    """Models that one entry of a list stands for; `line` is its own. `code`: of their refusal."""

    aliases: tuple[Alias, ...]
    line: int
    code: str = ""


@dataclass(frozen=True, slots=True)
class ReadTest:
    """A test whose names are found. `now` is seconds since the epoch."""

    file: str
    line: int
    test: PolicyTest
    document: Document
    index: int
    now: float
    keys: tuple[Key, ...]
    may: tuple[Entry, ...]
    may_not: tuple[Entry, ...]
    only: tuple[Entry, ...] | None

    def line_of(self, *path: str | int) -> int:
        """The line of a field of the test."""
        return self.document.mark(("tests", self.index, *path), at_key=True).line


def test_files(policies: Path, given: list[Path]) -> list[Path]:
    """The files given, else those beside the policy. Raises InputProblem."""
    folder = policies / DEFAULT_FOLDER
    paths = given or sorted(folder.glob("*.yaml"))
    if not paths:
        raise InputProblem(f"there are no tests: write some in {folder}/NAME.yaml")
    return paths


def read_tests(policy: OpenedPolicy, paths: Iterable[Path], now: float) -> list[ReadTest]:
    """The tests of all files; `now` is when those that say no time are.

    Raises:
        PolicyError: with every problem of every file, its name as it was given.
    """
    reader = _Reader(policy, now)
    tests = [test for path in paths for test in reader.read(path)]
    if reader.problems:
        raise PolicyError(reader.problems)
    return tests


class _Reader:
    def __init__(self, policy: OpenedPolicy, now: float) -> None:
        self.problems: list[PolicyProblem] = []
        self._policy = policy
        self._now = now

    def read(self, path: Path) -> Iterator[ReadTest]:
        read = self._document(path)
        if read is None:
            return
        document, data = read
        try:
            file = TestsFile.model_validate(data)
        except ValidationError as error:
            self.problems += problems_of(document, TestsFile, error)
            return
        for index, test in enumerate(file.tests):
            yield self._test(document, index, test)

    def _document(self, path: Path) -> tuple[Document, Any] | None:
        try:
            document = Document(str(path), path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError):
            self.problems.append(PolicyProblem(str(path), 1, 1, "not a file that can be read"))
            return None
        read = document.read()
        problems = read.problems
        if not problems and read.data is None:
            problems = [document.problem((), "the file is empty")]
        self.problems += problems
        return None if problems else (document, read.data)

    def _test(self, document: Document, index: int, test: PolicyTest) -> ReadTest:
        place = _Place(self._policy, document, index, self.problems)
        if not (test.may or test.may_not or test.limits or test.only is not None):
            place.add("the test asserts nothing: write may, may_not, only or limits")
        only = None if test.only is None else place.entries("only", test.only)
        return ReadTest(
            file=document.file,
            line=document.mark(("tests", index)).line,
            test=test,
            document=document,
            index=index,
            now=self._moment(test),
            keys=place.keys(test),
            may=place.entries("may", test.may),
            may_not=place.entries("may_not", test.may_not),
            only=only,
        )

    def _moment(self, test: PolicyTest) -> float:
        at = test.at
        if at is None:
            return self._now
        if not isinstance(at, datetime):
            at = datetime.combine(at, time.min)
        zone = ZoneInfo(self._policy.snapshot.org.time_zone)
        return (at if at.tzinfo else at.replace(tzinfo=zone)).astimezone(UTC).timestamp()


class _Place:
    """One test of a document, with the names in it looked up."""

    def __init__(
        self, policy: OpenedPolicy, document: Document, index: int, problems: list[PolicyProblem]
    ) -> None:
        self._policy = policy
        self._document = document
        self._path = ("tests", index)
        self._problems = problems

    def add(self, message: str, *path: str | int, at_key: bool = False) -> None:
        """A problem with what is at `path` of the test."""
        whole = (*self._path, *path)
        self._problems.append(self._document.problem(whole, message, at_key=at_key))

    def keys(self, test: PolicyTest) -> tuple[Key, ...]:
        """The keys that a test is about, never none without a problem."""
        snapshot = self._policy.snapshot
        if (test.key is None) == (test.keys is None):
            self.add("write either key: ID or keys: {team: …, project: …, env: …}")
            return ()
        if test.key is not None:
            if test.key not in snapshot.keys:
                near = suggestion(test.key, snapshot.keys)
                self.add(f"no key has the id '{test.key}'{near}", "key")
            return tuple(key for key in snapshot.keys.values() if key.id == test.key)
        assert test.keys is not None  # noqa: S101 - one of the two is there
        found = tuple(key for key in snapshot.keys.values() if _is_of(key, test.keys))
        if not found:
            self._nobody(snapshot, test.keys)
        return found

    def entries(self, field: str, selectors: Iterable[str]) -> tuple[Entry, ...]:
        """What each entry of a list, or key of a mapping, stands for."""
        codes = selectors if isinstance(selectors, dict) else {}
        return tuple(
            self._entry(field, index, each, codes.get(each, ""))
            for index, each in enumerate(selectors)
        )

    def _entry(self, field: str, index: int, selector: str, code: str) -> Entry:
        path: tuple[str | int, ...] = (*self._path, field, selector)
        if path not in self._document.marks.keys:
            path = (*self._path, field, index)
        line = self._document.mark(path, at_key=True).line
        try:
            names = self._policy.selectors.select(selector)
        except UnknownSelector as error:
            self._problems.append(self._document.problem(path, str(error), at_key=True))
            names = frozenset()
        return Entry(self._aliases(names), line, code)

    def _aliases(self, names: frozenset[str]) -> tuple[Alias, ...]:
        aliases = self._policy.snapshot.aliases
        return tuple(aliases[name] for name in sorted(names))

    def _nobody(self, snapshot: Snapshot, wanted: KeysOf) -> None:
        """Say which part of a selector keeps all keys out."""
        keys = list(snapshot.keys.values())
        for field, value in wanted.model_dump(exclude_none=True).items():
            left = [key for key in keys if getattr(key, field) == value]
            if not left:
                known = {getattr(key, field) for key in keys} - {None}
                self.add(
                    f"no key here has the {field} '{value}'{suggestion(value, known)}",
                    "keys",
                    field,
                )
                return
            keys = left
        self.add("the policy has no keys", "keys")


def _is_of(key: Key, wanted: KeysOf) -> bool:
    parts = wanted.model_dump(exclude_none=True).items()
    return all(getattr(key, field) == value for field, value in parts)
