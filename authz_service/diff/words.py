"""Changes as text, Markdown and data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from authz_service.diff.changes import Change, Direction

Groups = list[tuple[str, list[Change]]]

_SIGNS: dict[Direction, str] = {"wider": "+", "narrower": "-", "other": "~"}


def as_text(groups: Groups, old: str, new: str) -> Iterator[str]:
    """`old` and `new` are versions."""
    if not groups:
        yield _nothing(old, new)
        return
    yield f"policy {old} → {new}: {_summary(groups)}"
    yield "+ widens, - narrows, ~ is something else"
    for name, changes in groups:
        yield f"\n{name}"
        yield from (f"  {_SIGNS[change.direction]} {change.text}" for change in changes)


def as_markdown(groups: Groups, old: str, new: str) -> Iterator[str]:
    """For a pull request's comment."""
    if not groups:
        yield f"**Policy:** {_nothing(old, new)}"
        return
    yield f"**Policy** `{old}` → `{new}`: {_summary(groups)}"
    for name, changes in groups:
        yield f"\n#### {name}\n"
        yield from (f"- **{change.direction}**: {_escaped(change.text)}" for change in changes)


def as_data(groups: Groups, old: str, new: str) -> dict[str, Any]:
    """For scripts."""
    return {
        "old_version": old,
        "new_version": new,
        "changes": [
            {"group": name, "direction": change.direction, "text": change.text}
            for name, changes in groups
            for change in changes
        ],
    }


def _nothing(old: str, new: str) -> str:
    versions = f"version {old}" if old == new else f"version {old} → {new}"
    return f"nothing changes for anybody ({versions})"


def _summary(groups: Groups) -> str:
    count = Counter(change.direction for _, changes in groups for change in changes)
    total = sum(count.values())
    plural = "s" if total > 1 else ""
    words = {"wider": "widen", "narrower": "narrow", "other": "are something else"}
    parts = [f"{count[each]} {words[each]}" for each in words if count[each]]  # type: ignore[index]
    return f"{total} change{plural}: {', '.join(parts)}"


def _escaped(text: str) -> str:
    return "".join(f"\\{sign}" if sign in "\\`*_{}[]<>|" else sign for sign in text)
