"""Where a value goes in a YAML text: in the place of another, or after the last of its siblings."""

from __future__ import annotations

import re
from typing import Any

from tollhouse.policy.documents import Path
from tollhouse.policy.editing import written
from tollhouse.policy.editing.layout import Layout, Patch, Span

_COMMENT = re.compile(r"([ ]*)#")


def put(layout: Layout, path: Path, value: Any) -> Patch:
    """`value` in the place of what is at `path`, or as a new key of the mapping above it."""
    if path in layout.values:
        return _replace(layout, layout.values[path], value)
    above, name = layout.values[path[:-1]], str(path[-1])
    if above.kind != "map":
        raise TypeError("a new key needs a mapping")
    lines = written.entry(name, value, layout.step, layout.list_offset)
    if above.is_flow and (above.children or not _may_open(layout, path[:-1], value)):
        patch = _into_flow(above, layout, f"{written.flow(name)}: {written.flow(value)}")
        if not _may_unfold(layout, path[:-1], patch):
            return patch
        return _open(layout, path[:-1], [*_entries(layout, path[:-1]), *lines], layout.step)
    if above.is_flow:
        return _open(layout, path[:-1], lines, layout.step)
    return _after(layout, above, lines, above.column)


def append(layout: Layout, path: Path, value: Any) -> Patch:
    """`value` as the last item of the list at `path`."""
    above = layout.values[path]
    if above.kind != "list":
        raise TypeError("an item needs a list")
    lines = written.item(value, layout.step, layout.list_offset)
    if above.is_flow and (above.children or not _may_open(layout, path, value)):
        patch = _into_flow(above, layout, written.flow(value))
        if not _may_unfold(layout, path, patch):
            return patch
        return _open(layout, path, [*_entries(layout, path), *lines], layout.list_offset)
    if above.is_flow:
        return _open(layout, path, lines, layout.list_offset)
    # A comment in the column of the dashes is about what follows where lists are not indented.
    return _after(layout, above, lines, above.column, inside=above.column + 1)


def _replace(layout: Layout, old: Span, value: Any) -> Patch:
    text = written.flow(value)
    if isinstance(value, str) and old.style == "'" and value.isprintable():
        text = "'" + value.replace("'", "''") + "'"
    elif isinstance(value, str) and old.style == '"' and not text.startswith('"'):
        text = f'"{text}"'
    return Patch(old.start, old.end, text)


def _into_flow(above: Span, layout: Layout, text: str) -> Patch:
    """After the last item of `{…}` or `[…]`; a comma that ends it then separates."""
    if not above.children:
        return Patch(above.start + 1, above.end - 1, text)
    last = _end_of_last(layout, above)
    return Patch(last, last, f", {text}")


def _end_of_last(layout: Layout, above: Span) -> int:
    inside = [
        span.end
        for span in layout.values.values()
        if above.start < span.start and span.end < above.end
    ]
    return max(inside)


def _may_open(layout: Layout, path: Path, value: Any) -> bool:
    """Whether an empty `[]` or `{}` may become a block below its key: it is in no flow itself,
    and what comes is too much for one line."""
    return isinstance(value, dict | list) and _is_below_its_key(layout, path)


def _may_unfold(layout: Layout, path: Path, patch: Patch) -> bool:
    """Whether `{…}` or `[…]` becomes a block below its key: in one line it would be too long."""
    above = layout.values[path]
    start, end = layout.line_start(above.start), layout.line_end(above.end)
    is_one_line = layout.line_end(above.start) == end
    is_long = above.end - start + len(patch.text) > written.WIDEST
    return is_one_line and is_long and _is_below_its_key(layout, path)


def _is_below_its_key(layout: Layout, path: Path) -> bool:
    around = [layout.values[path[:length]] for length in range(len(path))]
    return path in layout.keys and not any(span.is_flow for span in around)


def _entries(layout: Layout, path: Path) -> list[str]:
    """What is in `{…}` or `[…]`, as it is written, a line for each."""
    above = layout.values[path]
    dash = "" if above.kind == "map" else "- "
    children = [(*path, name) for name in above.children]
    starts = [(layout.keys if above.kind == "map" else layout.values)[each] for each in children]
    ends = [layout.values[each] for each in children]
    return [
        dash + layout.text[first.start : last.end] for first, last in zip(starts, ends, strict=True)
    ]


def _open(layout: Layout, path: Path, lines: list[str], indent: int) -> Patch:
    key, empty = layout.keys[path], layout.values[path]
    end = layout.line_end(empty.end)
    column = key.column + indent
    colon = len(layout.text[: empty.start].rstrip(" "))
    rest = layout.text[empty.end : end]
    return Patch(colon, end, rest + _lines(layout, lines, column))


def _after(
    layout: Layout, above: Span, lines: list[str], column: int, inside: int | None = None
) -> Patch:
    """Below the last line of a block, and below the comments that end it."""
    end = layout.line_end(above.end)
    while (found := _comment_below(layout, end, column if inside is None else inside)) is not None:
        end = found
    return Patch(end, end, _lines(layout, lines, column))


def _comment_below(layout: Layout, end: int, inside: int) -> int | None:
    """The end of the next line if that is a comment this far to the right."""
    start = layout.text.find("\n", end) + 1
    if not start:
        return None
    found = _COMMENT.match(layout.text, start)
    return layout.line_end(start) if found and len(found[1]) >= inside else None


def _lines(layout: Layout, lines: list[str], column: int) -> str:
    return "".join(f"{layout.line_break}{' ' * column}{line}" for line in lines)
