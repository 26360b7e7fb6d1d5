"""Compiles the limits of any level."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from functools import lru_cache

from tollhouse.money import usd_to_nano
from tollhouse.policy.compiled import Limits
from tollhouse.policy.files import LimitsFile


@lru_cache(maxsize=4096)
def compile_limits(limits: LimitsFile) -> Limits:
    """Limits of any level; of equal ones, as many keys have, the same object."""
    compiled = Limits(
        requests_per_minute=limits.requests_per_minute,
        tokens_per_minute=limits.tokens_per_minute,
        requests_per_day=limits.requests_per_day,
        tokens_per_day=limits.tokens_per_day,
        max_parallel_requests=limits.max_parallel_requests,
        daily_spend_nanousd=_nano(limits.daily_spend_usd),
        weekly_spend_nanousd=_nano(limits.weekly_spend_usd),
        monthly_spend_nanousd=_nano(limits.monthly_spend_usd),
        budget_mode=limits.budget_mode,
    )
    return compiled if compiled.has_budget else replace(compiled, budget_mode="hard")


def _nano(spend: Decimal | None) -> int | None:
    return None if spend is None else usd_to_nano(spend)
