"""A team or project that a request names and that is not there: made on the way, unless its name
looks misspelt, for what is counted there would be outside the budget of the right one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from console.actors import Actor
from console.edits.policy import Policy
from console.permissions import require
from console.problems import ManageError


def require_team(policy: Policy, actor: Actor, team: str) -> tuple[str, ...]:
    """That the team is there or may be made; the warning that it is made.

    Raises:
        ManageError: `role_not_allowed`; `not_found` where there is one of nearly that name.
    """
    if team in policy.teams:
        return ()
    require(actor, "team.write", team)
    near = _near(team, filter(actor.sees, policy.teams))
    if near is not None:
        raise _misspelt("team", f"there is no team '{team}'", near)
    return (f"the team '{team}' was made: it has no budget and no owner of its own",)


def require_project(policy: Policy, actor: Actor, team: str, project: str) -> tuple[str, ...]:
    """The same of a project, after its team. Raises as `require_team`."""
    source = policy.teams.get(team)
    projects = source.model.projects if source else {}
    if project in projects:
        return ()
    near = _near(project, projects)
    if near is not None:
        raise _misspelt("project", f"the team '{team}' has no project '{project}'", near)
    require(actor, "project.write", team)
    return (f"the project '{project}' was made: it has no budget of its own",)


def _near(name: str, known: Iterable[str]) -> str | None:
    by_lower = {each.lower(): each for each in known}
    found = difflib.get_close_matches(name.lower(), sorted(by_lower), n=1)
    return by_lower[found[0]] if found else None


def _misspelt(kind: str, message: str, near: str) -> ManageError:
    advice = f"did you mean '{near}'? To make it, POST /manage/{kind} first"
    return ManageError("not_found", f"{message}: {advice}", param=kind)
