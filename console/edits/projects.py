"""Projects: made, changed and deleted."""

from __future__ import annotations

from console.actors import Actor
from console.edits import level_changes
from console.edits.data import etag, of_project
from console.edits.editor import Change, PolicyEditor
from console.edits.etags import require as require_etag
from console.edits.finding import find_project
from console.edits.laying import lay
from console.edits.making import require_team
from console.edits.paging import page
from console.edits.policy import Policy
from console.edits.reader import PolicyReader
from console.edits.team_files import create_team
from console.edits.using import require_unused_project
from console.edits.views import project_view
from console.permissions import require
from console.problems import ManageError
from console.shapes.base import Deleted
from console.shapes.levels import (
    LevelQuery,
    ProjectCreate,
    ProjectList,
    ProjectPatch,
    ProjectView,
)
from tollhouse.policy.editing.draft import Draft


class Projects:
    """`if_match` is the header of that name. All raise ManageError."""

    def __init__(self, reader: PolicyReader, editor: PolicyEditor) -> None:
        self._reader = reader
        self._editor = editor

    def create(self, actor: Actor, asked: ProjectCreate) -> ProjectView:
        """A new project, with its team where that is missing and the role may."""
        team, project = asked.team, asked.project

        def edit(draft: Draft, policy: Policy) -> Change:
            require(actor, "project.write", team)
            warnings = require_team(policy, actor, team)
            if policy.project(team, project) is not None:
                message = f"the team '{team}' has a project '{project}' already: PATCH changes it"
                raise ManageError("already_exists", message, param="project")
            data = level_changes.created(asked)
            level_changes.require_within_team(policy, team, project, data, list(data))
            if team in policy.teams:
                file = policy.teams[team].document.file
                draft.set(file, ("projects", project), data)
            else:
                create_team(draft, {"team": team, "projects": {project: data}})
            target = f"{team}/{project}"
            return Change("project.create", target, team, after=data, warnings=warnings)

        edited = self._editor.edit(actor, edit)
        return project_view(edited.policy, team, project, edited.warnings)

    def get(self, actor: Actor, team: str, project: str) -> ProjectView:
        """One project."""
        policy = self._reader.now()
        find_project(policy, actor, "project.read", team, project)
        return project_view(policy, team, project)

    def list(self, actor: Actor, query: LevelQuery) -> ProjectList:
        """One page of the projects that the actor sees, by team and name."""
        require(actor, "project.read")
        policy = self._reader.now()
        found = [
            (team, project)
            for team, source in policy.teams.items()
            if actor.sees(team) and query.team in (None, team)
            for project in source.model.projects
            if (query.q or "").lower() in f"{team}/{project}".lower()
        ]
        shown, more = page(found, lambda pair: pair, query.limit, query.after)
        return ProjectList(data=[project_view(policy, *pair) for pair in shown], next=more)

    def patch(
        self,
        actor: Actor,
        team: str,
        project: str,
        asked: ProjectPatch,
        if_match: str | None = None,
    ) -> ProjectView:
        """Change what the request says."""

        def edit(draft: Draft, policy: Policy) -> Change:
            source, file = find_project(policy, actor, "project.write", team, project)
            old = of_project(file)
            require_etag(if_match, etag(old), "the project")
            new = level_changes.changed(old, asked)
            level_changes.require_within_team(policy, team, project, new, list(asked.asked))
            lay(draft, source.document.file, ("projects", project), old, new)
            return Change("project.change", f"{team}/{project}", team, old, new)

        edited = self._editor.edit(actor, edit)
        return project_view(edited.policy, team, project, edited.warnings)

    def delete(self, actor: Actor, team: str, project: str, if_match: str | None = None) -> Deleted:
        """Remove a project without keys. Its usage stays on record."""

        def edit(draft: Draft, policy: Policy) -> Change:
            source, file = find_project(policy, actor, "project.write", team, project)
            old = of_project(file)
            require_etag(if_match, etag(old), "the project")
            require_unused_project(policy, team, project)
            draft.remove(source.document.file, ("projects", project))
            return Change("project.delete", f"{team}/{project}", team, before=old)

        edited = self._editor.edit(actor, edit)
        return Deleted(id=f"{team}/{project}", warnings=edited.warnings)
