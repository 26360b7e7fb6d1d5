"""LiteLLM's limits and budgets as `limits` of a policy."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import ROUND_DOWN, Decimal
from typing import Any

from tollhouse.importing.notes import Notes
from tollhouse.importing.prices import shortest
from tollhouse.importing.values import listing, mapping, number, text

COUNTS = {
    "rpm_limit": "requests_per_minute",
    "tpm_limit": "tokens_per_minute",
    "max_parallel_requests": "max_parallel_requests",
}
"""Fields of keys and teams, and the policy's name for each."""

_PERIODS = {
    "1d": "daily_spend_usd",
    "24h": "daily_spend_usd",
    "daily": "daily_spend_usd",
    "7d": "weekly_spend_usd",
    "1w": "weekly_spend_usd",
    "weekly": "weekly_spend_usd",
    "30d": "monthly_spend_usd",
    "1mo": "monthly_spend_usd",
    "monthly": "monthly_spend_usd",
}
_MOST_COUNT = 1_000_000_000_000
_MOST_USD = 4_000_000
_NANO = Decimal("1e-9")


@dataclass(slots=True)
class Limits:
    """Limits of one thing. `nothing_allowed`: LiteLLM limits it to 0 calls or tokens, which is a
    block here."""

    fields: dict[str, Any] = field(default_factory=dict)
    nothing_allowed: bool = False


class LimitReader:
    """Reads the limits of keys, teams and models, and notes what has no equal."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes

    def of(self, row: dict[str, Any], what: str) -> Limits:
        """The limits of a key or a team."""
        limits = Limits()
        for name, ours in COUNTS.items():
            self.count(limits, ours, row.get(name), f"{name} of {what}")
        self.budget(limits, row.get("max_budget"), row.get("budget_duration"), what)
        for window in map(mapping, listing(row.get("budget_limits"))):
            self.budget(limits, window.get("max_budget"), window.get("budget_duration"), what)
        return limits

    def by_model(self, row: dict[str, Any], what: str) -> dict[str, Limits]:
        """model_rpm_limit, model_tpm_limit and model_max_budget, by LiteLLM's model name."""
        found: dict[str, Limits] = {}
        metadata = mapping(row.get("metadata"))
        for name in ("rpm_limit", "tpm_limit"):
            stated = mapping(row.get(f"model_{name}") or metadata.get(f"model_{name}"))
            for model, value in stated.items():
                limits = found.setdefault(model, Limits())
                self.count(limits, COUNTS[name], value, f"model_{name} for '{model}' of {what}")
        for model, value in mapping(row.get("model_max_budget")).items():
            budget = mapping(value) or {"max_budget": value}
            amount = budget.get("budget_limit", budget.get("max_budget"))
            period = budget.get("time_period", budget.get("budget_duration"))
            self.budget(found.setdefault(model, Limits()), amount, period, f"'{model}' in {what}")
            for name in ("rpm_limit", "tpm_limit"):
                about = f"{name} for '{model}' of {what}"
                self.count(found[model], COUNTS[name], budget.get(name), about)
        return found

    def count(self, limits: Limits, ours: str, stated: object, what: str) -> None:
        """One whole number; the smaller one where it is stated twice."""
        if stated is None:
            return
        value = number(stated)
        if value is None or value != value.to_integral_value() or not 0 <= value <= _MOST_COUNT:
            why = f"not a whole number from 1 to {_MOST_COUNT}"
            self._notes.drop(
                "limits and access", what, why, "write the limit by hand if it matters"
            )
        elif value == 0:
            limits.nothing_allowed = True
        else:
            limits.fields[ours] = min(int(value), limits.fields.get(ours, _MOST_COUNT))

    def budget(self, limits: Limits, stated: object, duration: object, what: str) -> None:
        """One amount of USD in one period."""
        if stated is None:
            return
        amount = number(stated)
        if amount is None or not 0 <= amount <= _MOST_USD:
            self._drop_budget(what, "its amount", f"not a number of USD from 0 to {_MOST_USD}")
        elif (ours := _PERIODS.get(text(duration))) is None:
            period = f"of {text(duration)}" if text(duration) else "without budget_duration"
            self._drop_budget(
                what,
                f"{shortest(amount):f} USD {period}",
                "budgets here last a calendar day, week or month; this one limits nothing now",
            )
        else:
            usd = shortest(amount.quantize(_NANO, rounding=ROUND_DOWN))
            limits.fields[ours] = min(usd, limits.fields.get(ours, usd))

    def _drop_budget(self, what: str, which: str, why: str) -> None:
        self._notes.drop(
            "limits and access",
            f"the budget of {what} ({which})",
            why,
            "write daily_spend_usd, weekly_spend_usd or monthly_spend_usd under its limits",
        )
