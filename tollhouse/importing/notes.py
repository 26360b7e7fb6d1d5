"""What an import has to tell: what was not carried over, and what is carried but works differently.

No note may hold a secret: notes are made of names, numbers and fixed sentences, and what looks like
a key is taken out of every one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal, get_args

Group = Literal["limits and access", "models", "prices", "routing", "keys and teams", "settings"]
GROUPS: tuple[Group, ...] = get_args(Group)
"""What a note can be about; what may let somebody do more than before comes first."""

_KEY = re.compile(r"(?:sk-|tl[hm]_)[A-Za-z0-9_-]{6,}")
_LONGEST = 400


def plain(text: object) -> str:
    """`text` on one line of printable characters, with anything that looks like a key taken out."""
    line = "".join(letter if letter.isprintable() else " " for letter in str(text))
    return _KEY.sub("sk-…", line)[:_LONGEST]


def looks_like_key(text: str) -> bool:
    """Whether a text holds what looks like a key of this gateway, LiteLLM or a provider."""
    return _KEY.search(text) is not None


@dataclass(frozen=True, slots=True)
class Note:
    """One thing to tell: `what` it is about, `why` it is so, and what to do `instead`."""

    group: Group
    what: str
    why: str
    instead: str = ""

    def __str__(self) -> str:
        ending = f" {self.instead[:1].upper()}{self.instead[1:]}." if self.instead else ""
        return f"{self.what}: {self.why}.{ending}"


class NotCarried(Exception):
    """One entry of the source has no equal here. `why` and `instead` are for its note."""

    def __init__(self, why: str, instead: str = "") -> None:
        super().__init__(why)
        self.why = plain(why)
        self.instead = plain(instead)


@dataclass(slots=True)
class Notes:
    """Collects the notes of one import, in the order in which they were made."""

    not_carried: list[Note] = field(default_factory=list)
    to_know: list[Note] = field(default_factory=list)
    _told: set[Note] = field(default_factory=set)

    def drop(self, group: Group, what: str, why: str, instead: str = "") -> None:
        """Something was not carried over."""
        self._add(self.not_carried, Note(group, plain(what), plain(why), plain(instead)))

    def tell(self, group: Group, what: str, why: str, instead: str = "") -> None:
        """Something was carried over and needs an action, or works differently."""
        self._add(self.to_know, Note(group, plain(what), plain(why), plain(instead)))

    def _add(self, notes: list[Note], note: Note) -> None:
        if note not in self._told:
            self._told.add(note)
            notes.append(note)


def grouped(notes: list[Note]) -> dict[Group, list[Note]]:
    """The notes by group, in the order of `GROUPS`."""
    found = {group: [note for note in notes if note.group == group] for group in GROUPS}
    return {group: some for group, some in found.items() if some}
