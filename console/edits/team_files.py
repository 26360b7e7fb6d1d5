"""The files of teams: a new one, and one that goes."""

from __future__ import annotations

from console.edits.data import Data
from tollhouse.policy.editing import written
from tollhouse.policy.editing.draft import Draft

_SCHEMA = "schema/team.json"


def create_team(draft: Draft, team: Data) -> None:
    """Write a new file under teams/, named as the team is where that is free."""
    # Editors find the fields and their mistakes by it; `tollhouse schema` writes it.
    has_schema = (draft.directory / _SCHEMA).exists()
    head = f"# yaml-language-server: $schema=../{_SCHEMA}\n" if has_schema else ""
    lines = written.block(team)
    draft.create(_free_name(draft, team["team"]), head + "".join(f"{line}\n" for line in lines))


def _free_name(draft: Draft, team: str) -> str:
    names = [f"teams/{team}.yaml", *(f"teams/{team}-{n}.yaml" for n in range(2, 100))]
    return next(name for name in names if not (draft.directory / name).exists())
