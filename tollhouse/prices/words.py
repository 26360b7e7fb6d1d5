"""Prices as text and as JSON. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from tollhouse.prices.in_force import InForce
from tollhouse.prices.rates import Row, rows


def json_text(found: Iterable[InForce], list_version: str) -> str:
    """One JSON document; a price as the access log writes it."""
    return json.dumps(
        {
            "public_list": _named(list_version),
            "deployments": [_entry(each, list_version) for each in found],
        },
        indent=2,
    )


def text_lines(found: Iterable[InForce], list_version: str) -> Iterator[str]:
    """For each deployment a line that says from where, and one for each rate."""
    for each in found:
        yield f"{each.alias}  {each.provider}/{each.model}  ({_source(each, list_version)})"
        yield from _aligned(rows(each.price.to_labels())) if each.price else ()


def _entry(each: InForce, list_version: str) -> dict[str, object]:
    entry: dict[str, object] = {
        "alias": each.alias,
        "provider": each.provider,
        "model": each.model,
    }
    if each.price is None:
        return {**entry, "missing_because": each.missing_because}
    return {**entry, "source": _source(each, list_version), "price": each.price.to_labels()}


def _source(each: InForce, list_version: str) -> str:
    if each.price is None:
        return f"no price: {each.missing_because}"
    return each.at or _named(list_version)


def _named(list_version: str) -> str:
    return f"genai-prices {list_version}"


def _aligned(found: Iterable[Row]) -> Iterator[str]:
    told = list(found)
    wide, dear = (max(len(row[column]) for row in told) for column in (0, 1))
    for what, usd, per in told:
        yield f"  {what.ljust(wide)}  {usd.rjust(dear)}  {per}"
