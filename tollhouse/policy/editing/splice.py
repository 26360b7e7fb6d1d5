"""Changes one value in a YAML text and leaves every other byte as it is.

Each edit finds the range of what it is about and replaces that alone. Then it reads the result
again: the data must be the old data with just this change, or the edit is refused, so that a
layout nobody thought of can cost a message and never a policy.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import yaml

from tollhouse.policy.documents import Document, Path
from tollhouse.policy.editing import insertion, removal
from tollhouse.policy.editing.errors import LayoutError
from tollhouse.policy.editing.layout import Layout, Patch, read_layout

_BOM = "\ufeff"


def set_value(text: str, path: Path, value: Any) -> str:
    """Put `value` at `path`. Mappings that are missing on the way are made.

    Values are dict, list, str, bool, int, Decimal, date or datetime.

    Raises:
        LayoutError: there is no such place, or the layout there cannot be edited.
    """
    existing = read_layout(text.removeprefix(_BOM)).values
    while path[:-1] not in existing:
        path, value = path[:-1], {path[-1]: value}

    def change(data: Any) -> None:
        _at(data, path[:-1])[path[-1]] = value

    return _edit(text, path, lambda layout: insertion.put(layout, path, value), change)


def append(text: str, path: Path, value: Any) -> str:
    """Add an item to the list at `path`, which is made if it is missing. Raises LayoutError."""
    if path not in read_layout(text.removeprefix(_BOM)).values:
        return set_value(text, path, [value])

    def change(data: Any) -> None:
        _at(data, path).append(value)

    return _edit(text, path, lambda layout: insertion.append(layout, path, value), change)


def remove(text: str, path: Path) -> str:
    """Take out a key of a mapping or an item of a list, with the comment at the end of its line.

    Raises LayoutError, also where there is nothing at `path`.
    """

    def change(data: Any) -> None:
        del _at(data, path[:-1])[path[-1]]

    return _edit(text, path, lambda layout: removal.remove(layout, path), change)


def _at(data: Any, path: Path) -> Any:
    for step in path:
        data = data[step]
    return data


def _edit(
    text: str, path: Path, find: Callable[[Layout], Patch], change: Callable[[Any], None]
) -> str:
    bare = text.removeprefix(_BOM)
    expected = copy.deepcopy(_data(bare, path))
    try:
        patch = find(read_layout(bare))
        change(expected)
    except (LookupError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise LayoutError(_unclear(path)) from error
    edited = bare[: patch.start] + patch.text + bare[patch.end :]
    if _data(edited, path) != expected:
        raise LayoutError(_unclear(path))
    return text[: len(text) - len(bare)] + edited


def _data(text: str, path: Path) -> Any:
    read = Document("", text).read()
    if read.problems:
        raise LayoutError(_unclear(path))
    return read.data


def _unclear(path: Path) -> str:
    where = ".".join(map(str, path))
    return f"'{where}' cannot be edited without risk in the way it is laid out: edit it by hand"
