"""What is left of a file when all that is wrong with it is taken out.

It is never in force: it is there so that the other problems of a policy are found at once.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any, Generic

from pydantic import ValidationError

from tollhouse.policy.documents import Document, Path, Reading
from tollhouse.policy.problems import PolicyProblem
from tollhouse.policy.tree import M
from tollhouse.policy.wording import KEY, problems_of

# What is missing takes what it is missing in with it, level by level: a policy has about six.
_MOST_ROUNDS = 12


@dataclass(frozen=True, slots=True)
class Left(Generic[M]):
    """The model of what is left, None if nothing can be; the document that knows what is not; and
    what the model says of what was written."""

    model: M | None
    document: Document
    problems: list[PolicyProblem]


def mended(document: Document, read: Reading, model: type[M]) -> Left[M]:
    """Take out what may not be written so, then what the model refuses, until it refuses nothing.

    Of a file with nothing wrong, all is left.
    """
    document = replace(document, removed=read.unread)
    problems: list[PolicyProblem] | None = None
    for _ in range(_MOST_ROUNDS):
        if () in document.removed:
            break
        try:
            found = model.model_validate(_without(read.data, (), document.removed))
            return Left(found, document, problems or [])
        except ValidationError as error:
            # What a later round says is of the gaps.
            problems = problems_of(document, model, error) if problems is None else problems
            details = error.errors(include_url=False)
        at_fault = {document.as_written(_at_fault(each)) for each in details}
        document = replace(document, removed=document.removed | at_fault)
    return Left(None, document, problems or [])


def _at_fault(detail: Any) -> Path:
    path: Path = detail["loc"]
    return path[:-1] if path and (path[-1] == KEY or detail["type"] == "missing") else path


def _without(data: Any, path: Path, removed: Collection[Path]) -> Any:
    if not removed:
        return data
    if isinstance(data, dict):
        left = {name: at for name in data if (at := (*path, name)) not in removed}
        return {name: _without(data[name], at, removed) for name, at in left.items()}
    if isinstance(data, list):
        items = [((*path, index), item) for index, item in enumerate(data)]
        return [_without(item, at, removed) for at, item in items if at not in removed]
    return data
