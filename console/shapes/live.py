"""What is used of limits now."""

from __future__ import annotations

from typing import Literal

from console.shapes.base import Shape, SpendUsd
from tollhouse.policy.compiled import Level


class LimitNow(Shape):
    """One limit. `used` + `reserved` + `left` is `limit`, unless more was used than it allows."""

    name: str
    """As in a policy: monthly_spend_usd."""
    unit: Literal["requests", "tokens", "calls", "usd"]
    limit: SpendUsd | int
    used: SpendUsd | int
    reserved: SpendUsd | int
    """Held by running calls."""
    left: SpendUsd | int
    resets_in_seconds: float | None
    """Until it is whole again; null: there is nothing to wait for."""
    resets_at: str | None
    """The end of its day, week or month (UTC); null for a minute, and for calls at once."""


class ScopeNow(Shape):
    """A place where calls are counted."""

    level: Level
    name: str
    team: str | None
    project: str | None
    model: str | None
    """It counts calls of this alias only."""
    env: str | None
    """It counts calls of keys of this environment only."""
    limits: list[LimitNow]
    spent_today_usd: SpendUsd
    spent_this_week_usd: SpendUsd
    spent_this_month_usd: SpendUsd
    requests_today: int
    tokens_today: int
    running: int | None
    """Calls that run; null where that is not counted."""


class LimitsNow(Shape):
    """Every scope that calls count in. Each of their limits applies."""

    data: list[ScopeNow]
