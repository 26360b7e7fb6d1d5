"""HTML as a test reads it: a tree, strict about what a browser would mend in silence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

# https://html.spec.whatwg.org/multipage/syntax.html#void-elements
_VOID = frozenset(
    {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "wbr"}
)


@dataclass
class Element:
    """`text` is all of it, that of children included."""

    name: str
    attributes: dict[str, str]
    parent: Element | None = None
    children: list[Element] = field(default_factory=list)
    text: str = ""

    @property
    def words(self) -> str:
        """Its text with single spaces."""
        return " ".join(self.text.split())

    def all(self, *names: str) -> Iterator[Element]:
        """Those inside, in order; of every name if none is given."""
        for child in self.children:
            if not names or child.name in names:
                yield child
            yield from child.all(*names)

    def one(self, name: str, /, **attributes: str) -> Element:
        """The only one inside of that name and with these attributes."""
        found = [each for each in self.all(name) if attributes.items() <= each.attributes.items()]
        assert len(found) == 1, f"{len(found)} of <{name} {attributes}>"
        return found[0]

    def above(self) -> Iterator[Element]:
        """Its parent, and so on."""
        if self.parent is not None:
            yield self.parent
            yield from self.parent.above()


class _Tree(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("#document", {})
        self.here = self.root

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(set(names)) == len(names), f"<{tag}> says an attribute twice: {names}"
        made = Element(tag, {name: value or "" for name, value in attrs}, self.here)
        self.here.children.append(made)
        if tag not in _VOID:
            self.here = made

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        inside = {self.here.name, *(each.name for each in self.here.above())}
        assert "svg" in inside or tag in _VOID, f"<{tag}/> is not closed by that in HTML"
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.here.name == tag, f"</{tag}> closes <{self.here.name}>"
        assert self.here.parent is not None
        self.handle_data(" ")  # as if every element stood for itself
        self.here = self.here.parent

    def handle_data(self, data: str) -> None:
        for each in (self.here, *self.here.above()):
            each.text += data


def parsed(text: str) -> Element:
    """The document; fails where tags are not balanced, or an attribute is there twice."""
    tree = _Tree()
    tree.feed(text)
    tree.close()
    assert tree.here is tree.root, f"<{tree.here.name}> is never closed"
    return tree.root
