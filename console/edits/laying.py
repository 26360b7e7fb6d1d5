"""Brings a definition in a policy file from one state to another by as few splices as it takes,
so that comments beside what stays, stay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tollhouse.policy.documents import Path
from tollhouse.policy.editing.draft import Draft

# Lists of names whose order says something.
_ORDERED = ("fallbacks",)
# A mapping that may be written as a number.
_WHOLE = ("per_image",)


def lay(
    draft: Draft, file: str, path: Path, old: Mapping[str, Any], new: Mapping[str, Any]
) -> None:
    """Make the mapping at `path`, which says `old`, say `new`. Raises EditError."""
    for name, value in new.items():
        if name not in old:
            draft.set(file, (*path, name), value)
        elif old[name] != value:
            _change(draft, file, (*path, name), old[name], value)
    for name in old:
        if name not in new:
            draft.remove(file, (*path, name))


def _change(draft: Draft, file: str, path: Path, old: Any, new: Any) -> None:
    if isinstance(old, dict) and isinstance(new, dict) and path[-1] not in _WHOLE:
        lay(draft, file, path, old, new)
    elif path[-1] not in _ORDERED and _is_set(old) and _is_set(new):
        _lay_set(draft, file, path, old, new)
    else:
        if isinstance(old, dict | list) or isinstance(new, dict | list):
            # In its place a collection would take over the layout of the other.
            draft.remove(file, path)
        draft.set(file, path, new)


def _is_set(value: Any) -> bool:
    """Of names: their order says nothing, and a comment may stand beside each."""
    return isinstance(value, list) and bool(value) and all(isinstance(e, str) for e in value)


def _lay_set(draft: Draft, file: str, path: Path, old: list[str], new: list[str]) -> None:
    for each in dict.fromkeys(new):
        if each not in old:
            draft.append(file, path, each)
    for index in reversed(range(len(old))):
        if old[index] not in new:
            draft.remove(file, (*path, index))
