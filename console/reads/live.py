"""What the limits of a scope are, how much of them is used now, and when they reset. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from console.reads.scopes import Place
from ratelimit_service.ledger.periods import Day, Periods, days_around
from ratelimit_service.ledger.types import NO_LIMITS, ScopeState
from tollhouse.policy.compiled import Level
from tollhouse.policy.limit_words import Stated, stated

Unit = Literal["requests", "tokens", "calls", "nanousd"]


@dataclass(frozen=True, slots=True)
class LiveLimit:
    """One limit by its name in a policy ("monthly_spend_usd"), in `unit`.

    `used` + `reserved` + `left` is `limit`, unless a soft budget, or one that was lowered, is
    exceeded: `left` is 0 then. `reserved` is what running calls hold; in a minute their count and
    tokens are part of `used`. `resets_in_seconds`: until all of a minute has left, or the day, week
    or month ends, None where there is nothing to reset. `resets_at` (epoch seconds) is that end,
    None for a minute, which is any 60 seconds, and for calls at once.
    """

    name: str
    unit: Unit
    limit: int
    used: int
    reserved: int
    left: int
    resets_in_seconds: float | None
    resets_at: int | None


@dataclass(frozen=True, slots=True)
class LiveScope:
    """The counters of one scope now.

    `team`, `project`, `model` and `env` say what it is of, None where it is of none; a scope with a
    `model` or an `env` counts these calls alone. `where`: "key web-1", "environment staging of org
    acme". Spend is nano-dollars, settled, in the day, week and month of `periods`; `held` is what
    running calls may take beside it. What the ledger does not know is None: `held`, `running` and
    the last minute of an org or a model that has no limit, where calls count when they end.
    """

    level: Level
    name: str
    team: str | None
    project: str | None
    model: str | None
    env: str | None
    where: str
    owner: str | None
    limits: list[LiveLimit]
    periods: Periods
    spent_today: int
    spent_this_week: int
    spent_this_month: int
    held: int | None
    requests_last_minute: int | None
    tokens_last_minute: int | None
    requests_today: int
    tokens_today: int
    running: int | None

    def limit(self, name: str) -> LiveLimit | None:
        """The limit of that name ("monthly_spend_usd"), if there is one."""
        return next((each for each in self.limits if each.name == name), None)


_Amounts = tuple[int, int]  # used, reserved
_READ: Final[dict[str, tuple[Unit, Callable[[ScopeState], _Amounts]]]] = {
    "requests_per_minute": ("requests", lambda state: (state.requests_used, 0)),
    "tokens_per_minute": ("tokens", lambda state: (state.tokens_used, 0)),
    "requests_per_day": ("requests", lambda state: (state.requests_today, 0)),
    "tokens_per_day": ("tokens", lambda state: (state.tokens_today, state.held_tokens)),
    "max_parallel_requests": ("calls", lambda state: (state.running, 0)),
    "daily_spend_usd": ("nanousd", lambda state: (state.daily_spend, state.held_spend)),
    "weekly_spend_usd": ("nanousd", lambda state: (state.weekly_spend, state.held_spend)),
    "monthly_spend_usd": ("nanousd", lambda state: (state.monthly_spend, state.held_spend)),
}
_ENDS: Final[dict[str, Callable[[Day], int]]] = {
    "requests_per_day": lambda day: day.end,
    "tokens_per_day": lambda day: day.end,
    "daily_spend_usd": lambda day: day.end,
    "weekly_spend_usd": lambda day: day.week_end,
    "monthly_spend_usd": lambda day: day.month_end,
}


def live_scope(place: Place, state: ScopeState, time_zone: str, now: float) -> LiveScope:
    """What the ledger says of a place; `now` is epoch seconds."""
    scope = place.scope
    # Elsewhere the ledger knows of a call when it ends.
    reserved_in = place.team is not None or scope.limits != NO_LIMITS
    day = _day_of(state, time_zone, now)
    return LiveScope(
        level=scope.level,
        name=scope.name,
        team=place.team,
        project=place.project,
        model=scope.name if scope.level == "alias" else scope.model,
        env=scope.env,
        where=scope.where,
        owner=scope.owner,
        limits=[_limit(each, state, day, now) for each in stated(scope.limits)],
        periods=state.periods,
        spent_today=state.daily_spend,
        spent_this_week=state.weekly_spend,
        spent_this_month=state.monthly_spend,
        held=state.held_spend if reserved_in else None,
        requests_last_minute=state.requests_used if reserved_in else None,
        tokens_last_minute=state.tokens_used if reserved_in else None,
        requests_today=state.requests_today,
        tokens_today=state.tokens_today,
        running=state.running if reserved_in else None,
    )


def _limit(stated: Stated, state: ScopeState, day: Day, now: float) -> LiveLimit:
    unit, read = _READ[stated.field]
    used, reserved = read(state)
    ends = _ENDS[stated.field](day) if stated.field in _ENDS else None
    return LiveLimit(
        name=stated.field,
        unit=unit,
        limit=stated.amount,
        used=used,
        reserved=reserved,
        left=max(stated.amount - used - reserved, 0),
        resets_in_seconds=_window_reset(stated.field, state) if ends is None else ends - now,
        resets_at=ends,
    )


def _window_reset(field: str, state: ScopeState) -> float | None:
    milliseconds = {
        "requests_per_minute": state.requests_reset_ms,
        "tokens_per_minute": state.tokens_reset_ms,
    }.get(field, 0)
    return milliseconds / 1000 if milliseconds else None


def _day_of(state: ScopeState, time_zone: str, now: float) -> Day:
    # Redis's clock says which day it is: near midnight it may be another than by ours.
    days = days_around(time_zone, int(now))
    return next((day for day in days if day.periods == state.periods), days[0])
