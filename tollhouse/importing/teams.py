"""LiteLLM's teams, each with its keys, as team files."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from tollhouse.importing.access import Access
from tollhouse.importing.exports import Export, Row
from tollhouse.importing.fields import LeftBehind
from tollhouse.importing.keys import KeyReader, label, models_of, token_hash
from tollhouse.importing.notes import NotCarried, Notes
from tollhouse.importing.providers import why_invalid
from tollhouse.importing.values import Unique, text
from tollhouse.policy.team_files import TeamFile

_NO_TEAM = "litellm-no-team"
_NO_PROJECT = "default"


@dataclass(slots=True)
class Teams:
    """`files` by team; `comments` has a line for each team, and for each key by its id."""

    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    comments: dict[str, str] = field(default_factory=dict)

    @property
    def keys(self) -> int:
        """How many keys there are."""
        projects = [one for file in self.files.values() for one in file["projects"].values()]
        return sum(len(project["keys"]) for project in projects)


class TeamReader:
    """Carries teams and keys over."""

    def __init__(self, access: Access, notes: Notes) -> None:
        self._access = access
        self._keys = KeyReader(access, notes)
        self._left_behind = LeftBehind()
        self._notes = notes
        self._teams = Teams()
        self._names: dict[str, str] = {}
        self._unique = Unique()
        self._hashes: set[str] = set()

    def read(self, export: Export) -> Teams:
        """All of them; keys without a team share one."""
        rows = {text(row.get("team_id")): row for row in export.teams}
        for team_id, row in rows.items():
            self._add_team(team_id, row)
        for position, row in enumerate(export.keys, start=1):
            self._add_key(row, position)
        self._left_behind.tell(self._notes)
        return self._teams

    def _add_team(self, team_id: str, row: Row) -> None:
        name = self._unique.take(label(row.get("team_alias"), label(team_id, "team")))
        what = f"team '{name}'"
        file: dict[str, Any] = {"team": name, **self._keys.limited(row, what)}
        try:
            models = models_of(row)
            file["allowed_models"] = self._access.allowed(models, what) if models else ["*"]
            TeamFile.model_validate(file)
        except (ValidationError, NotCarried) as error:
            why = error.why if isinstance(error, NotCarried) else why_invalid(error)
            self._notes.drop("limits and access", what, f"{why}; it is blocked", "write it by hand")
            file = {"team": name, "blocked": True}
        self._left_behind.look(row, what)
        self._keep(team_id, name, file, f"LiteLLM's team {team_id}")

    def _keep(self, team_id: str, name: str, file: dict[str, Any], comment: str) -> None:
        self._names[team_id] = name
        self._teams.files[name] = {**file, "projects": {}}
        self._teams.comments[name] = comment

    def _add_key(self, row: Row, position: int) -> None:
        what = f"key '{label(row.get('key_alias'), f'number {position} of the export')}'"
        try:
            sha256 = token_hash(row)
            if sha256 in self._hashes:
                self._notes.tell(
                    "keys and teams", what, "it was in the exports twice; the first counts"
                )
                return
            self._hashes.add(sha256)
            key = self._keys.read(row, sha256)
        except NotCarried as error:
            self._notes.drop("keys and teams", what, error.why, error.instead)
            return
        self._left_behind.look(row, f"key '{key['id']}'")
        project = label(row.get("project_alias"), label(row.get("project_id"), _NO_PROJECT))
        projects = self._teams.files[self._team_of(row)]["projects"]
        projects.setdefault(project, {"keys": []})["keys"].append(key)
        if alias := text(row.get("key_alias")):
            self._teams.comments[f"key {key['id']}"] = (
                f"LiteLLM: {alias}" if alias != key["id"] else ""
            )

    def _team_of(self, row: Row) -> str:
        team_id = text(row.get("team_id"))
        if team_id not in self._names:
            self._add_unknown_team(team_id, row)
        return self._names[team_id]

    def _add_unknown_team(self, team_id: str, row: Row) -> None:
        wanted = label(row.get("team_alias"), label(team_id, "team")) if team_id else _NO_TEAM
        name = self._unique.take(wanted)
        comment = (
            f"LiteLLM's team {team_id}, known by its keys alone"
            if team_id
            else ("Keys that had no team in LiteLLM.")
        )
        self._keep(team_id, name, {"team": name}, comment)
        if team_id:
            self._notes.drop(
                "limits and access",
                f"the models, limits, budget and block of team '{name}'",
                "the team itself is not in the export, so its keys may do all that they say",
                "export GET /team/list too and give it with a second --keys",
            )
