"""Which pages a role may open. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from console.actors import Actor
from console.pages.views.links import ROOT
from console.permissions import Action, may


@dataclass(frozen=True, slots=True)
class Entry:
    """A link of the menu; `is_here`: to the part that is being shown."""

    name: str
    href: str
    is_here: bool


_ENTRIES: Final[tuple[tuple[str, str, Action], ...]] = (
    ("Overview", "", "usage.read"),
    ("Teams", "/teams", "team.read"),
    ("Keys", "/keys", "key.read"),
    ("Models", "/models", "model.read"),
    ("Usage", "/usage", "usage.read"),
    ("Policy", "/policy", "policy.read"),
    ("Audit", "/audit", "audit.read"),
    ("Tokens", "/tokens", "token.read"),
)


def entries(actor: Actor, section: str) -> list[Entry]:
    """`section` is the name of the part that is being shown."""
    return [
        Entry(name, f"{ROOT}{path}", name == section)
        for name, path, action in _ENTRIES
        if may(actor, action)
    ]


def role_words(actor: Actor) -> str:
    """ "admin", "team-lead of marketing"."""
    if actor.teams is None:
        return actor.role
    return f"{actor.role} of {', '.join(sorted(actor.teams)) or 'no team'}"
