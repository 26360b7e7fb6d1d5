"""Keys: what can be asked of them, and how they are shown."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field

from console.shapes.base import (
    KeyId,
    Line,
    MetadataValue,
    Name,
    Selectors,
    Shape,
    When,
    Written,
    without_key,
)
from console.shapes.limits import EffectiveLimit, Limits, ModelLimits
from tollhouse.policy.compiled import BlockedAt
from tollhouse.policy.lifetimes import KeyState

Metadata = Annotated[dict[Name, MetadataValue | None], Field(max_length=64)]
"""Text, numbers or booleans by name. `env` is the key's environment, `max_cost_per_month` its
monthly_spend_usd, `owner` whom to ask. In a PATCH null removes one."""


class KeyCreate(Shape):
    """A new key. Its team and project are made if they are not there, none has nearly that name,
    and the role may."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "team": "marketing",
                    "project": "website-ai-assistant",
                    "allowed_models": ["gpt4_limited"],
                    "metadata": {"owner": "ann@example.com", "env": "prod"},
                    "limits": {"requests_per_minute": 60, "monthly_spend_usd": 50},
                    "expires": "90d",
                }
            ]
        }
    )

    team: Name
    """Whose key it is."""
    project: Name
    """Of that team."""
    id: KeyId | None = None
    """What logs call the key; default: team-project-env and six digits of its hash."""
    env: Name | None = None
    """Its environment; required where the policy names any. Also taken from metadata.env."""
    allowed_models: Selectors | None = None
    """Only these of what its project allows; default: all of them."""
    denied_models: Selectors = Field(default=[])
    """None of these; beats any allow."""
    metadata: Metadata = Field(default={})
    """For logs and people."""
    limits: Limits = Limits()
    """Of this key alone, beside those of its project, team and org."""
    model_limits: ModelLimits = Field(default={})
    """Of this key with one alias."""
    expires: When | None = None
    """Default: never."""


class KeyPatch(Shape):
    """What is left out stays. Effective at once; the key is unchanged."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"limits": {"monthly_spend_usd": 100}}]}
    )

    env: Name | None = None
    """Another environment."""
    allowed_models: Selectors | None = None
    """Instead of the list before; null: all that the project allows."""
    denied_models: Selectors | None = None
    """Instead of the list before; null: none."""
    metadata: Metadata | None = None
    """Merged: null removes one; null for the whole removes all."""
    limits: Limits | None = None
    """Merged: null removes one; null for the whole removes all."""
    model_limits: ModelLimits | None = None
    """Merged by alias: null removes those of one; null for the whole removes all."""
    expires: When | None = None
    """Another end; null: never."""


class KeyRotate(Shape):
    """A new key under the same id."""

    overlap: Annotated[str, Field(max_length=12)] = "7d"
    """How long the old key stays valid: 12h, 7d; 0 ends it at once."""


class KeyBlock(Shape):
    """Refuses all calls of the key."""

    reason: Annotated[Line, AfterValidator(without_key)] | None = None
    """One line, kept in the policy."""


class KeyQuery(Shape):
    """Which keys to list, and which page of them."""

    team: str | None = None
    project: str | None = None
    env: str | None = None
    state: KeyState | None = None
    """active, expiring (within 14 days), expired or blocked."""
    model: str | None = None
    """Keys that may call this alias."""
    owner: str | None = None
    """As in metadata.owner."""
    q: Annotated[str, Field(max_length=200)] | None = None
    """Part of an id, team, project or owner, in any case."""
    sort: Literal["team", "project", "id"] = "team"
    """team: by team, project, id."""
    limit: Annotated[int, Field(ge=1, le=500, strict=False)] = 50
    """Keys of one page."""
    after: Annotated[str, Field(max_length=1000)] | None = None
    """`next` of the page before."""


class KeyView(Written):
    """A key; never its string, nor its hash."""

    id: str
    team: str
    project: str
    env: str | None
    state: KeyState
    """active, expiring (ends within 14 days), expired or blocked."""
    blocked_at: BlockedAt | None
    """The widest level that blocks it."""
    blocked_reason: str | None
    blocked_by: str | None
    """Who blocked it over this API: token:ID or sso:PERSON."""
    expires: str | None
    """The first moment (UTC) at which it is no longer valid; null: never."""
    allowed_models: list[str] | None
    """As written; null: all that its levels allow."""
    denied_models: list[str]
    """As written."""
    models: list[str]
    """The aliases that it may call, under all levels."""
    limits: Limits
    """As written."""
    model_limits: dict[str, Limits]
    """As written."""
    effective_limits: dict[str, EffectiveLimit]
    """The narrowest of each kind, of the key and all above it. All of them are enforced."""
    metadata: dict[str, str | bool | int | float]
    previous: list[str]
    """When the keys end that rotations replaced, of those still valid (UTC)."""
    where: str
    """file:line in the policy."""


class KeyCreated(KeyView):
    """A key that was just made."""

    api_key: str
    """The key, shown this once."""


class KeyList(Shape):
    """One page."""

    data: list[KeyView]
    next: str | None = None
    """`after` of the next page; null: this is the last."""
