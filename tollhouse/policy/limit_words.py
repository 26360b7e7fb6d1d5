"""Limits in words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

from tollhouse.money import format_usd, nano_to_usd
from tollhouse.policy.compiled import Limits

_UNITS = {
    "requests_per_minute": "requests a minute",
    "tokens_per_minute": "tokens a minute",
    "requests_per_day": "requests a day",
    "tokens_per_day": "tokens a day",
    "max_parallel_requests": "calls at once",
    "daily_spend_usd": "USD a day",
    "weekly_spend_usd": "USD a week",
    "monthly_spend_usd": "USD a month",
}
_NANO, _USD = "_spend_nanousd", "_spend_usd"


@dataclass(frozen=True, slots=True)
class Stated:
    """One limit. `field` as it is written in a policy; `amount` in its unit, nano-dollars for a
    spend limit."""

    field: str
    amount: int

    @property
    def unit(self) -> str:
        """ "requests a minute", "USD a month"."""
        return _UNITS[self.field]

    @property
    def number(self) -> str:
        """ "60", "1,500.50"."""
        if not self.is_spend:
            return f"{self.amount:,}"
        return format_usd(self.amount).removeprefix("$").removesuffix(".00")

    @property
    def value(self) -> int | str:
        """As it is written: a count, or decimal USD."""
        return nano_to_usd(self.amount) if self.is_spend else self.amount

    @property
    def words(self) -> str:
        """ "60 requests a minute"."""
        return f"{self.number} {self.unit}"

    @property
    def is_spend(self) -> bool:
        """Whether it limits money."""
        return self.field.endswith(_USD)


def stated(limits: Limits) -> Iterator[Stated]:
    """Every limit that is set, in the order of the policy's documentation."""
    for each in fields(limits):
        amount = getattr(limits, each.name)
        if amount is not None and each.name != "budget_mode":
            yield Stated(each.name.replace(_NANO, _USD), amount)
