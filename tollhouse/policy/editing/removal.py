"""Which range of a YAML text a key or an item is, with the separators that are its own."""

from __future__ import annotations

from tollhouse.policy.documents import Path
from tollhouse.policy.editing.layout import Layout, Patch, Span


def remove(layout: Layout, path: Path) -> Patch:
    """Without the key or item at `path`; its parent stays, empty if this was the only one."""
    above = layout.values[path[:-1]]
    if above.children == (path[-1],):
        return _emptied(layout, path[:-1], above)
    if above.is_flow:
        return _from_flow(layout, path, above)
    start = _start_of_line(layout, path, above)
    if start is None:
        # It shares its line with a dash: what follows it moves up.
        return Patch(_start(layout, path), _start(layout, _next(path, above)), "")
    end = layout.line_end(layout.values[path].end)
    if end == len(layout.text):
        return Patch(len(layout.text[:start].rstrip("\r\n")), end, "")
    return Patch(start, layout.text.index("\n", end) + 1, "")


def _emptied(layout: Layout, path: Path, above: Span) -> Patch:
    empty = "{}" if above.kind == "map" else "[]"
    if above.is_flow or path not in layout.keys:
        return Patch(above.start, above.end, empty)
    # Beside its key, unless a comment stands between them.
    key = layout.keys[path]
    between = layout.text[key.end : above.start]
    start = key.end + between.index(":") + 1
    is_bare = not layout.text[start : above.start].strip()
    return Patch(start, above.end, f" {empty}") if is_bare else Patch(above.start, above.end, empty)


def _from_flow(layout: Layout, path: Path, above: Span) -> Patch:
    if path[-1] != above.children[-1]:
        return Patch(_start(layout, path), _start(layout, _next(path, above)), "")
    before = (*path[:-1], above.children[-2])
    return Patch(layout.values[before].end, layout.values[path].end, "")


def _start(layout: Layout, path: Path) -> int:
    return layout.keys[path].start if path in layout.keys else layout.values[path].start


def _next(path: Path, above: Span) -> Path:
    return (*path[:-1], above.children[above.children.index(path[-1]) + 1])


def _start_of_line(layout: Layout, path: Path, above: Span) -> int | None:
    """Where the line begins that the key, or the dash of the item, is first on."""
    offset = _start(layout, path) if above.kind == "map" else _dash(layout, path, above)
    start = layout.line_start(offset)
    return start if not layout.text[start:offset].strip() else None


def _dash(layout: Layout, path: Path, above: Span) -> int:
    """The offset of an item's dash, the last in the list's column before the item."""
    offset = _start(layout, path)
    while True:
        start = layout.line_start(offset)
        if layout.text[start + above.column] == "-" and start + above.column < _start(layout, path):
            return start + above.column
        offset = start - 1
        if offset < 0:
            raise LookupError("no dash")
