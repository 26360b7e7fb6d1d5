"""Teams and projects: what can be asked of them, and how they are shown."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from console.shapes.base import Line, Name, Selectors, Shape, Written
from console.shapes.limits import Limits, ModelLimits


class Environment(Shape):
    """What holds for keys of one environment of a level; it only narrows."""

    blocked: bool = False
    limits: Limits = Limits()
    allowed_models: Selectors | None = None
    denied_models: Selectors = Field(default=[])


Environments = Annotated[dict[Name, Environment | None], Field(max_length=100)]
"""By name. A PATCH replaces the environments that it names; null removes one."""


class LevelCreate(Shape):
    """What a new team and a new project can say."""

    blocked: bool = False
    """True refuses every call below."""
    allowed_models: Selectors | None = None
    """Names, tag:NAME, group:NAME, patterns; default: as the level above. If no level says any,
    nothing is allowed."""
    denied_models: Selectors = Field(default=[])
    """Beats any allow."""
    limits: Limits = Limits()
    """For all calls below together."""
    model_limits: ModelLimits = Field(default={})
    """The same for one alias alone."""
    environments: Environments = Field(default={})
    """What holds for keys of one environment."""


class LevelPatch(Shape):
    """What is left out stays."""

    blocked: bool | None = None
    allowed_models: Selectors | None = None
    """Instead of the list before; null: as the level above."""
    denied_models: Selectors | None = None
    """Instead of the list before; null: none."""
    limits: Limits | None = None
    """Merged: null removes one; null for the whole removes all."""
    model_limits: ModelLimits | None = None
    """Merged by alias."""
    environments: Environments | None = None
    """Merged by environment."""


class TeamCreate(LevelCreate):
    """A new team."""

    team: Name
    owner: Line | None = None
    """Whom its members ask, named in refusals; default: the org's owner."""


class TeamPatch(LevelPatch):
    """Of a team."""

    owner: Line | None = None
    """Null: the org's owner."""


class ProjectCreate(LevelCreate):
    """A new project of a team, which is made if it is not there, and none of nearly that name."""

    team: Name
    project: Name


class ProjectPatch(LevelPatch):
    """Of a project."""


class EnvironmentView(Shape):
    """As written."""

    blocked: bool
    limits: Limits
    allowed_models: list[str] | None
    denied_models: list[str]


class LevelView(Written):
    """What a team and a project say, as written."""

    blocked: bool
    allowed_models: list[str] | None
    denied_models: list[str]
    limits: Limits
    model_limits: dict[str, Limits]
    environments: dict[str, EnvironmentView]
    keys: int
    """How many there are below."""
    where: str
    """file:line in the policy."""


class TeamView(LevelView):
    """A team."""

    team: str
    owner: str | None
    """Its own, or the org's."""
    projects: list[str]


class ProjectView(LevelView):
    """A project."""

    team: str
    project: str


class LevelQuery(Shape):
    """Which teams or projects to list, and which page of them."""

    team: str | None = None
    q: Annotated[str, Field(max_length=200)] | None = None
    """Part of a name, in any case."""
    limit: Annotated[int, Field(ge=1, le=500, strict=False)] = 50
    after: Annotated[str, Field(max_length=1000)] | None = None
    """`next` of the page before."""


class TeamList(Shape):
    """One page."""

    data: list[TeamView]
    next: str | None = None


class ProjectList(Shape):
    """One page."""

    data: list[ProjectView]
    next: str | None = None
