"""Management tokens: what can be asked of them, and how they are shown."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from console.shapes.base import KeyId, Name, Shape, When, Written
from tollhouse.policy.management import Role


class TokenCreate(Shape):
    """A new management token."""

    id: KeyId
    """What the audit log calls it."""
    role: Role
    """admin, platform, team-lead, viewer or auditor."""
    teams: Annotated[list[Name], Field(min_length=1, max_length=1000)] | None = None
    """Only for these teams; required for a team-lead, not for admin and auditor. Default: all."""
    expires: When | None = None
    """Default: never."""


class TokenView(Written):
    """A token; never its string, nor its hash."""

    id: str
    role: Role
    teams: list[str] | None
    """Null: all."""
    expires: str | None
    """The first moment (UTC) at which it is no longer valid; null: never."""
    is_expired: bool
    where: str
    """file:line in the policy."""


class TokenCreated(TokenView):
    """A token that was just made."""

    token: str
    """The token, shown this once."""


class TokenList(Shape):
    """All of them."""

    data: list[TokenView]
    next: str | None = None
