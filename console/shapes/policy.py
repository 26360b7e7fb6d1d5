"""The policy as a whole: which is in force, and what changed since another."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from console.shapes.base import Shape


class PolicyQuery(Shape):
    """What to compare with."""

    since: Annotated[str, Field(pattern="^[0-9a-f]{12}$")] | None = None
    """A version of before: 12 hex digits, one of `history`."""


class PolicyChange(Shape):
    """One sentence of what changed for whom."""

    group: str
    """everyone, models, providers or "team NAME"."""
    direction: Literal["narrower", "wider", "other"]
    text: str


class PolicyVersion(Shape):
    """A policy that was in force."""

    version: str
    since: str
    """From when (UTC)."""


class PolicyView(Shape):
    """The policy in force."""

    version: str
    """12 hex digits over the content of all files."""
    org: str
    time_zone: str
    stale: bool
    """The files say something else, which cannot be taken."""
    problems: list[str]
    """Why, as file:line:column: message."""
    teams: int
    keys: int
    models: int
    history: list[PolicyVersion]
    """Those that are kept, the newest first."""
    changes: list[PolicyChange] | None = None
    """Since the version that was asked for; null: none was."""
