"""Teams: made, changed and deleted."""

from __future__ import annotations

from console.actors import Actor
from console.edits import level_changes
from console.edits.data import Data, etag, of_team
from console.edits.editor import Change, PolicyEditor
from console.edits.etags import require as require_etag
from console.edits.finding import find_team
from console.edits.laying import lay
from console.edits.paging import page
from console.edits.policy import Policy
from console.edits.reader import PolicyReader
from console.edits.team_files import create_team
from console.edits.using import require_unused_team
from console.edits.views import team_view
from console.permissions import require
from console.problems import ManageError
from console.shapes.base import Deleted
from console.shapes.levels import LevelQuery, TeamCreate, TeamList, TeamPatch, TeamView
from tollhouse.policy.editing.draft import Draft


class Teams:
    """`if_match` is the header of that name. All raise ManageError."""

    def __init__(self, reader: PolicyReader, editor: PolicyEditor) -> None:
        self._reader = reader
        self._editor = editor

    def create(self, actor: Actor, asked: TeamCreate) -> TeamView:
        """A new team, in a file of its own."""

        def edit(draft: Draft, policy: Policy) -> Change:
            require(actor, "team.write", asked.team)
            if asked.team in policy.teams:
                message = f"there is a team '{asked.team}' already: PATCH changes it"
                raise ManageError("already_exists", message, param="team")
            data: Data = {"team": asked.team, **level_changes.created(asked)}
            level_changes.require_within_org(policy, data, list(data))
            create_team(draft, data)
            return Change("team.create", asked.team, asked.team, after=data)

        edited = self._editor.edit(actor, edit)
        return team_view(edited.policy, asked.team, edited.warnings)

    def get(self, actor: Actor, team: str) -> TeamView:
        """One team."""
        policy = self._reader.now()
        find_team(policy, actor, "team.read", team)
        return team_view(policy, team)

    def list(self, actor: Actor, query: LevelQuery) -> TeamList:
        """One page of the teams that the actor sees, by name."""
        require(actor, "team.read")
        policy = self._reader.now()
        found = [
            team
            for team in policy.teams
            if actor.sees(team)
            and query.team in (None, team)
            and (query.q or "").lower() in team.lower()
        ]
        shown, more = page(found, lambda team: (team,), query.limit, query.after)
        return TeamList(data=[team_view(policy, team) for team in shown], next=more)

    def patch(
        self, actor: Actor, team: str, asked: TeamPatch, if_match: str | None = None
    ) -> TeamView:
        """Change what the request says."""

        def edit(draft: Draft, policy: Policy) -> Change:
            source = find_team(policy, actor, "team.write", team)
            old = of_team(source.model)
            require_etag(if_match, etag(old), "the team")
            new = level_changes.changed(old, asked)
            level_changes.require_within_org(policy, new, list(asked.asked))
            lay(draft, source.document.file, (), old, new)
            return Change("team.change", team, team, old, new)

        edited = self._editor.edit(actor, edit)
        return team_view(edited.policy, team, edited.warnings)

    def delete(self, actor: Actor, team: str, if_match: str | None = None) -> Deleted:
        """Remove a team without keys, with its file and its projects. Usage stays on record."""

        def edit(draft: Draft, policy: Policy) -> Change:
            source = find_team(policy, actor, "team.write", team)
            old = of_team(source.model)
            require_etag(if_match, etag(old), "the team")
            require_unused_team(policy, team)
            draft.delete(source.document.file)
            return Change("team.delete", team, team, before=old)

        edited = self._editor.edit(actor, edit)
        return Deleted(id=team, warnings=edited.warnings)
