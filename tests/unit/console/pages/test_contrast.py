"""The style sheet: colours that can be read, in both schemes, and nothing from elsewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import console.pages

_CSS = (Path(console.pages.__file__).parent / "static" / "console.css").read_text()
_LIGHT, _DARK = (
    dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", block))
    for block in re.findall(r":root \{(.*?)\n *\}", _CSS, re.DOTALL)[:2]
)

# WCAG 2.2: 1.4.3 wants 4.5 of text; 1.4.11 wants 3 of what is needed to understand a picture or
# to find a field.
TEXT = [
    *((front, back) for front in ("text", "soft", "accent") for back in ("page", "card", "side")),
    *((word, f"{word}-tint") for word in ("good", "warn", "bad", "accent")),
    *(("bad", "card"), ("text", "code"), ("soft", "code"), ("accent-text", "accent")),
    *(("text", "accent-tint"), ("text", "bad-tint"), ("soft", "warn-tint")),
]
PICTURE = [
    *((bar, "card") for bar in ("bar", "warn-bar", "bad-bar", "line-strong", "accent")),
    *(("bar", "track"), ("warn-bar", "track"), ("bad-bar", "track"), ("accent", "page")),
]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("front", "back"), TEXT)
def test_text_can_be_read(scheme: str, front: str, back: str) -> None:
    assert _ratio(scheme, front, back) >= 4.5


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("front", "back"), PICTURE)
def test_bars_and_fields_can_be_told_from_what_is_behind_them(
    scheme: str, front: str, back: str
) -> None:
    assert _ratio(scheme, front, back) >= 3


def test_both_schemes_state_every_colour_and_no_rule_states_one_of_its_own() -> None:
    assert _LIGHT.keys() == _DARK.keys()
    rules = _CSS[_CSS.index("* { box-sizing") :]
    assert not re.findall(r"#[0-9a-fA-F]{3,8}\b", rules)


def test_the_style_sheet_loads_nothing() -> None:
    assert "url(" not in _CSS
    assert "@import" not in _CSS


def _ratio(scheme: str, front: str, back: str) -> float:
    colours = {"light": _LIGHT, "dark": _DARK}[scheme]
    one, other = sorted((_luminance(colours[front]), _luminance(colours[back])))
    return (other + 0.05) / (one + 0.05)


def _luminance(colour: str) -> float:
    """Relative luminance, as WCAG defines it."""
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels
    ]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
