"""LiteLLM's USD per token as USD per million tokens, exact in nano-dollars."""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal, localcontext
from typing import Any

from tollhouse.importing.notes import Notes
from tollhouse.importing.values import number

_FIELDS = {
    "input_cost_per_token": "input_per_million",
    "output_cost_per_token": "output_per_million",
    "cache_read_input_token_cost": "cached_input_per_million",
}
_HIGHEST = 10_000
_STEP = Decimal("1e-9")


def price_of(
    stated: dict[str, Any], what: str, notes: Notes, *, embeddings: bool
) -> dict[str, Any]:
    """The `price` that the cost fields of one deployment make; {} where they make none.

    `stated` holds the fields of litellm_params over those of model_info.
    """
    costs = {name: stated[name] for name in stated if _is_cost(name) and stated[name] is not None}
    _drop_others(sorted(set(costs) - set(_FIELDS)), what, notes)
    price = {
        _FIELDS[name]: per_million
        for name in _FIELDS
        if name in costs
        and (per_million := _per_million(name, costs[name], what, notes)) is not None
    }
    if embeddings and "input_per_million" in price:
        price.setdefault("output_per_million", Decimal(0))
    if price and not {"input_per_million", "output_per_million"} <= price.keys():
        notes.drop(
            "prices",
            f"the price of {what}",
            "a price needs both input_cost_per_token and output_cost_per_token",
            "write price: beside it in models.yaml; until then the public price list decides",
        )
        return {}
    return price


def _is_cost(name: str) -> bool:
    return "cost_per" in name or name.endswith("_token_cost") or "_token_cost_" in name


def _drop_others(names: list[str], what: str, notes: Notes) -> None:
    if names:
        notes.drop(
            "prices",
            f"{', '.join(names)} of {what}",
            "a price here is one rate each for input, output and cached input tokens",
            "if such calls happen, state rates in models.yaml that cover them",
        )


def _per_million(name: str, stated: object, what: str, notes: Notes) -> Decimal | None:
    cost = number(stated)
    if cost is None or cost < 0 or cost * 1_000_000 > _HIGHEST:
        notes.drop(
            "prices",
            f"{name} of {what}",
            f"not a number of USD from 0 to {_HIGHEST} per million tokens",
            "write price: beside it in models.yaml",
        )
        return None
    with localcontext() as exact:
        exact.prec = 120
        usd = cost.scaleb(6)
        rounded = usd.quantize(_STEP, rounding=ROUND_CEILING)
    if rounded != usd:
        notes.tell(
            "prices",
            f"{name} of {what}",
            f"{usd:f} USD per million tokens is finer than a nano-dollar; it was rounded up to"
            f" {shortest(rounded):f}",
        )
    return shortest(rounded)


def shortest(amount: Decimal) -> Decimal:
    """The same amount without trailing zeros and without an exponent."""
    whole = amount.to_integral_value()
    return whole.quantize(Decimal(1)) if amount == whole else amount.normalize()
