"""What an import did, for people and for scripts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from tollhouse.importing.notes import Note, Notes, grouped


@dataclass(frozen=True, slots=True)
class Carried:
    """How much was carried, and of how much: `models` names of `model_names`, and so on."""

    models: int
    model_names: int
    providers: int
    teams: int
    keys: int
    exported_keys: int
    variables: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"carried over: {self.models} models (the config has {self.model_names} names),"
            f" {self.providers} providers, {self.teams} teams,"
            f" {self.keys} of {self.exported_keys} keys"
        )


def summary(carried: Carried, notes: Notes) -> str:
    """A few paragraphs of plain text."""
    parts = [str(carried)]
    if carried.variables:
        parts.append(f"secrets that Envoy needs: {', '.join(carried.variables)}")
    parts += _sections(notes)
    return "\n".join(parts)


def _sections(notes: Notes) -> Iterator[str]:
    count = len(notes.not_carried)
    yield f"\n{count} thing(s) not carried over" + (":" if count else "")
    yield from _lines(notes.not_carried)
    if notes.to_know:
        yield f"\n{len(notes.to_know)} thing(s) to know of what was carried over:"
        yield from _lines(notes.to_know)


def _lines(notes: list[Note]) -> Iterator[str]:
    for group, members in grouped(notes).items():
        yield f"  {group} ({len(members)})"
        yield from (f"    - {note}" for note in members)


def page(carried: Carried, notes: Notes) -> str:
    """IMPORT.md."""
    lines = ["# What was imported from LiteLLM", "", f"{str(carried).capitalize()}.", ""]
    if carried.variables:
        named = ", ".join(f"`{name}`" for name in carried.variables)
        lines += [f"Secrets that Envoy needs: {named}.", ""]
    for title, members in (("Not carried over", notes.not_carried), ("To know", notes.to_know)):
        lines += [f"## {title}", ""]
        if not members:
            lines += ["Nothing.", ""]
        for group, some in grouped(members).items():
            lines += [f"### {group.capitalize()}", "", *(f"- {note}" for note in some), ""]
    return "\n".join(lines)


def as_data(carried: Carried, notes: Notes, out: str, problems: list[str]) -> dict[str, Any]:
    """The same for scripts."""
    return {
        "out": out,
        "carried": asdict(carried),
        "not_carried": [asdict(note) for note in notes.not_carried],
        "to_know": [asdict(note) for note in notes.to_know],
        "problems": problems,
    }
