"""Rates that depend on the length of the input, from what a policy or the public list states."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal
from typing import Any

from tollhouse.money import UNSTATED, Price, Rates, Step, TokenPrice, nano_per_million
from tollhouse.money.rates import RATES

Curve = Mapping[int, Decimal | None]
"""USD per million tokens from so many input tokens on (exclusive; `ALWAYS`: whatever they are),
None where it is not stated."""
Curves = Mapping[str, Curve]
"""By the names of `RATES`, those that are stated."""

ALWAYS = -1


def curves_of(
    base: Mapping[str, Decimal], steps: Iterable[tuple[int, Mapping[str, Decimal]]]
) -> dict[str, dict[int, Decimal | None]]:
    """Of rates and of steps that replace some of them; what a step does not state is the base's."""
    steps = list(steps)
    names = {*base, *(name for _, step in steps for name in step)}
    return {
        name: {
            ALWAYS: base.get(name),
            **{above: step.get(name, base.get(name)) for above, step in steps},
        }
        for name in names
    }


def token_price(curves: Curves) -> TokenPrice:
    """Raises ValueError: a rate is finer than a nano-dollar per million tokens."""
    above = sorted({above for curve in curves.values() for above in curve} - {ALWAYS})
    base = _rates(curves, ALWAYS)
    steps = (Step(each, Rates(**_rates(curves, each))) for each in above)
    return TokenPrice(**base, long_context=tuple(_changing(Rates(**base), steps)))


def _changing(rates: Rates, steps: Iterable[Step]) -> Iterable[Step]:
    for step in steps:
        if step.rates != rates:
            yield step
        rates = step.rates


def _rates(curves: Curves, above: int) -> dict[str, int]:
    stated = {name: _at(curves.get(name, {}), above) for name in RATES}
    unstated = {"input": 0, "output": 0}
    return {
        name: unstated.get(name, UNSTATED) if usd is None else nano_per_million(usd)
        for name, usd in stated.items()
    }


def _at(curve: Curve, above: int) -> Decimal | None:
    reached = [each for each in curve if each <= above]
    return curve[max(reached)] if reached else None


@dataclass(frozen=True, slots=True)
class Stated:
    """A price as it is stated: the usual rates of tokens, what each service tier has in their
    place, and the fields of `Price` for all other units, already in their unit."""

    usual: Curves
    tiers: Mapping[str, Curves] = field(default_factory=dict)
    units: Mapping[str, Any] = field(default_factory=dict)

    def price(self) -> Price:
        """Raises ValueError: a rate is finer than a nano-dollar for its unit."""
        usual = token_price(self.usual)
        tiers = {tier: token_price({**self.usual, **own}) for tier, own in self.tiers.items()}
        return Price(
            **{each.name: getattr(usual, each.name) for each in fields(usual)},
            service_tiers=tuple(sorted((tier, own) for tier, own in tiers.items() if own != usual)),
            **self.units,
        )
