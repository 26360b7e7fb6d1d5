"""Where every value of a YAML text begins and ends, as offsets into the text.

Like documents.py this reads YAML; it keeps what an edit has to know and data does not tell: extent
and style. Texts are those that documents.py takes (no anchors, tags, or second document).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import yaml
from yaml.nodes import CollectionNode, MappingNode, Node, ScalarNode

from tollhouse.policy.documents import Path

_LOADER: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Span:
    """One value. `start` and `end` are offsets; `column` counts from 0.

    The end of a block collection is that of the last value in it: no comment, no blank line.
    `kind`: scalar, map, list. `children` are the keys of a map or the indexes of a list.
    """

    start: int
    end: int
    column: int
    is_flow: bool
    kind: str
    style: str = ""
    children: tuple[str | int, ...] = ()


@dataclass(frozen=True, slots=True)
class Patch:
    """The text that takes the place of a range of offsets."""

    start: int
    end: int
    text: str


@dataclass(slots=True)
class Layout:
    """The spans of a text's values, and those of the keys of its mappings."""

    text: str
    values: dict[Path, Span] = field(default_factory=dict)
    keys: dict[Path, Span] = field(default_factory=dict)

    @property
    def line_break(self) -> str:
        """That of the text's first line."""
        first = self.text.partition("\n")[0]
        return "\r\n" if first.endswith("\r") else "\n"

    @property
    def step(self) -> int:
        """By how many columns a nested block mapping is indented here."""
        columns = [span.column for span in self.values.values() if _is_block(span, "map")]
        return min((column for column in columns if column), default=2)

    @property
    def list_offset(self) -> int:
        """How far to the right of its key a block list begins here."""
        for path, span in self.values.items():
            if _is_block(span, "list") and path in self.keys:
                return span.column - self.keys[path].column
        return 2

    def line_start(self, offset: int) -> int:
        """Where the line begins that holds this offset."""
        return self.text.rfind("\n", 0, offset) + 1

    def line_end(self, offset: int) -> int:
        """The offset of that line's end, before its line break."""
        found = self.text.find("\n", offset)
        end = len(self.text) if found < 0 else found
        return end - 1 if self.text[offset:end].endswith("\r") else end


def _is_block(span: Span, kind: str) -> bool:
    return span.kind == kind and not span.is_flow


def read_layout(text: str) -> Layout:
    """Raises yaml.YAMLError."""
    layout = Layout(text)
    root = yaml.compose(text, Loader=_LOADER)
    if root is not None:
        _read(layout, root, ())
    return layout


def _read(layout: Layout, node: Node, path: Path) -> Span:
    if isinstance(node, CollectionNode):
        span = _collection(layout, node, path)
    else:
        span = _scalar(layout, node)
    layout.values[path] = span
    return span


def _scalar(layout: Layout, node: Node) -> Span:
    start, end = node.start_mark.index, node.end_mark.index
    style = (node.style or "") if isinstance(node, ScalarNode) else ""
    if style in ("|", ">"):
        end = start + len(layout.text[start:end].rstrip())
    return Span(start, end, node.start_mark.column, style not in ("|", ">"), "scalar", style)


def _collection(layout: Layout, node: CollectionNode, path: Path) -> Span:
    names: list[str | int] = []
    end = node.end_mark.index
    for index, each in enumerate(node.value):
        key, value = each if isinstance(node, MappingNode) else (None, each)
        name = index if key is None else key.value
        if key is not None:
            layout.keys[(*path, name)] = _scalar(layout, key)
        child = _read(layout, value, (*path, name))
        names.append(name)
        if not node.flow_style:
            end = child.end
    kind = "map" if isinstance(node, MappingNode) else "list"
    start = node.start_mark
    return Span(
        start.index,
        end,
        start.column,
        bool(node.flow_style),
        kind,
        children=tuple(names),
    )
