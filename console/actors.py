"""Who asks for something to be managed. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tollhouse.policy.management import Role

Via = Literal["token", "sso", "cli"]


@dataclass(frozen=True, slots=True)
class Actor:
    """A person or a program. `id` is that of a management token, or what the company's sign-on
    calls the person; `via` "cli" is whoever can write the files anyway. `teams`: what the role is
    good for; None is all."""

    id: str
    role: Role
    teams: frozenset[str] | None
    via: Via

    def sees(self, team: str) -> bool:
        """Whether the role is good for this team."""
        return self.teams is None or team in self.teams
