"""Which role may do what. Pure: the table is the whole of it.

A team-lead manages the keys of teams that others have set the bounds of: neither those bounds nor
projects, whose lists could grant what the team was never given.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

from console.actors import Actor
from console.problems import ManageError
from tollhouse.policy.management import Role

Action = Literal[
    "key.read",
    "key.write",
    "team.read",
    "team.write",
    "project.read",
    "project.write",
    "model.read",
    "model.write",
    "usage.read",
    "error.read",
    "policy.read",
    "audit.read",
    "token.read",
    "token.write",
]
"""What is done to what. `write` is create, change and delete; to a key also rotate and block."""

ACTIONS: Final[tuple[Action, ...]] = get_args(Action)

_SEES: Final = frozenset[Action](
    {"key.read", "team.read", "project.read", "model.read", "usage.read", "error.read"}
)

MAY: Final[dict[Role, frozenset[Action]]] = {
    "admin": frozenset(ACTIONS),
    "platform": _SEES
    | {"key.write", "team.write", "project.write", "model.write", "policy.read", "token.read"},
    "team-lead": _SEES | {"key.write"},
    "viewer": _SEES,
    "auditor": _SEES | {"policy.read", "audit.read", "token.read"},
}
"""By role. Where the role is for some teams only, so is each action; see `require`."""

_OF_NO_TEAM: Final = frozenset[Action](
    {"model.write", "policy.read", "audit.read", "token.read", "token.write"}
)
"""These are about the whole org: whoever is for some teams only may not."""


def may(actor: Actor, action: Action, team: str | None = None) -> bool:
    """Whether the actor may do this: to that team, or (None) at all."""
    if action not in MAY[actor.role]:
        return False
    if actor.teams is None:
        return True
    return action not in _OF_NO_TEAM and (team is None or actor.sees(team))


def require(actor: Actor, action: Action, team: str | None = None) -> None:
    """Raises ManageError `role_not_allowed`, which says who could."""
    if may(actor, action, team):
        return
    others = sorted(role for role, actions in MAY.items() if action in actions)
    where = f" of team {team}" if team else ""
    if action in MAY[actor.role]:
        scope = ", ".join(sorted(actor.teams or ())) or "no team"
        message = f"{actor.id} is {actor.role} of {scope} only: {action}{where} is beyond that"
    else:
        message = f"{actor.id} is {actor.role}, and {action}{where} is for {', '.join(others)}"
    raise ManageError("role_not_allowed", message)
