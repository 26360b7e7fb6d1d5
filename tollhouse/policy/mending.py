"""What is left of a file when all that is wrong with it is taken out.

It is never in force: it is there so that the other problems of a policy are found at once.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from tollhouse.policy.documents import Document, Path
from tollhouse.policy.wording import KEY

_M = TypeVar("_M", bound=BaseModel)

# What is missing takes what it is missing in with it, level by level: a policy has about six.
_MOST_ROUNDS = 12


def mended(
    document: Document, data: Any, model: type[_M], error: ValidationError
) -> tuple[_M, Document] | None:
    """The model of what is left, and the document that knows what was removed; None if nothing
    can be left. `error` is what the model says of `data`."""
    for _ in range(_MOST_ROUNDS):
        found = {document.as_written(_at_fault(each)) for each in error.errors(include_url=False)}
        if () in found:
            return None
        document = replace(document, removed=document.removed | found)
        try:
            return model.model_validate(_without(data, (), document.removed)), document
        except ValidationError as next_error:
            error = next_error
    return None


def _at_fault(detail: Any) -> Path:
    path: Path = detail["loc"]
    return path[:-1] if path and (path[-1] == KEY or detail["type"] == "missing") else path


def _without(data: Any, path: Path, removed: Collection[Path]) -> Any:
    if isinstance(data, dict):
        left = {name: at for name in data if (at := (*path, name)) not in removed}
        return {name: _without(data[name], at, removed) for name, at in left.items()}
    if isinstance(data, list):
        items = [((*path, index), item) for index, item in enumerate(data)]
        return [_without(item, at, removed) for at, item in items if at not in removed]
    return data
