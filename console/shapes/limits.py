"""Limits as they are asked for, as they are written, and what is left of them under all levels."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import Field, PlainSerializer, WithJsonSchema

from console.shapes.base import AliasName, Shape, SpendUsd, as_number
from tollhouse.policy.compiled import BudgetMode, Level
from tollhouse.policy.field_types import Count


class Limits(Shape):
    """Limits of one level; what is left out is not limited there. In a PATCH null removes one."""

    requests_per_minute: Count | None = None
    """Calls in any 60 seconds."""
    tokens_per_minute: Count | None = None
    """Input and output tokens in any 60 seconds."""
    requests_per_day: Count | None = None
    """Calls per calendar day."""
    tokens_per_day: Count | None = None
    """Input and output tokens per calendar day."""
    max_parallel_requests: Count | None = None
    """Calls that run at once."""
    daily_spend_usd: SpendUsd | None = None
    """USD per calendar day."""
    weekly_spend_usd: SpendUsd | None = None
    """USD per calendar week, from Monday."""
    monthly_spend_usd: SpendUsd | None = None
    """USD per calendar month, in the org's time zone."""
    budget_mode: BudgetMode | None = None
    """What a running call reserves in spend limits: hard (default), its worst case; soft, what such
    calls cost of late."""


ModelLimits = Annotated[dict[AliasName, Limits | None], Field(max_length=1000)]
"""Limits for one alias alone, by alias. In a PATCH null removes those of an alias."""


Amount = Annotated[
    int | Decimal,
    PlainSerializer(as_number, return_type=int | float, when_used="json"),
    WithJsonSchema({"type": "number"}),
]


class EffectiveLimit(Shape):
    """The narrowest of one kind of limit, and the level that it is of."""

    limit: Amount
    """USD for a spend limit, else a count."""
    level: Level
    """key, project, team or org."""
    name: str
    """Of the level."""
    env: str | None = None
    """It holds for keys of this environment of the level only."""
