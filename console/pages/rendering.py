"""Templates: what they are given, and how they become an answer."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse

from console.pages import assets, headers
from console.pages.views import labels, links, numbers

_TEMPLATES = Path(__file__).parent / "templates"


def environment() -> Environment:
    """Everything is escaped; a name that is not given is an error."""
    made = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.globals |= {
        "links": links,
        "labels": labels,
        "asset": assets.address,
        "pairs": _pairs,
    }
    made.filters |= {
        "usd": numbers.usd,
        "usd_exact": numbers.usd_exact,
        "count": numbers.count,
        "short": numbers.short,
        "moment": numbers.moment,
        "iso": numbers.iso,
        "per_million": numbers.per_million,
    }
    return made


class Rendering:
    """Answers with templates."""

    def __init__(self) -> None:
        self._environment = environment()

    def page(self, template: str, status: int = 200, **shown: Any) -> HTMLResponse:
        """A template as an answer."""
        text = self._environment.get_template(template).render(shown)
        return HTMLResponse(text, status, headers.PAGE)


def _pairs(words: Iterable[str]) -> list[tuple[str, str]]:
    """For a choice whose values are what is shown."""
    return [(word, word) for word in words]
