"""Pages of the documentation, as GitHub shows them."""

from __future__ import annotations

import re
from pathlib import Path

FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^(#+) +(.+?) *$", re.MULTILINE)


def headings(text: str) -> list[tuple[int, str]]:
    """Level and title of each."""
    return [(len(marks), title) for marks, title in _HEADING.findall(FENCED.sub("", text))]


def anchors(page: Path) -> set[str]:
    """As GitHub makes them: lowercase, punctuation away, spaces to hyphens."""
    titles = [title for _, title in headings(page.read_text(encoding="utf-8"))]
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
