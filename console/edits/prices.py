"""Prices: changed without losing what a request does not name, and shown."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from pydantic import ValidationError

from console.edits.data import Data
from console.shapes.prices import PriceOf
from console.shapes.reading import refuse
from tollhouse.money import Labels, Price
from tollhouse.policy.model_files import PriceFile

_ALL = ("per_image",)
"""Mappings that are replaced: their `default` is of all that stands beside it."""
_MINIMUM_AUDIO = "minimum_audio_milliseconds"


def patched(
    old: Mapping[str, Any] | None, asked: PriceOf, place: tuple[str | int, ...] = ("price",)
) -> Data:
    """A price as written, after what was asked of it. `place`: of the price in the request.

    Raises:
        ManageError: `invalid_request`, where the whole is no price.
    """
    new = _merged(old or {}, asked.model_dump(exclude_unset=True))
    try:
        PriceFile.model_validate(new)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=True)
        refuse(None, [{**each, "loc": (*place, *each["loc"])} for each in found])
    return new


def stated(file: PriceFile | None) -> PriceOf | None:
    """As it is written."""
    return None if file is None else PriceOf.model_validate(file.model_dump(exclude_unset=True))


def in_force(price: Price | None) -> PriceOf | None:
    """As calls are charged: minutes as hours, and no tokens where these are not charged."""
    if price is None:
        return None
    labels = price.to_labels()
    fields = _fields(labels)
    if _MINIMUM_AUDIO in labels:
        fields["minimum_audio_seconds"] = price.minimum_audio_milliseconds // 1000
    if price.service_tiers:
        tiers = [(name, rates.to_labels()) for name, rates in price.service_tiers]
        fields["service_tiers"] = {name: _fields(rates) for name, rates in tiers}
    if price.per_image:
        fields["per_image"] = labels["per_image"]
    if not (price.input or price.output or price.cached_input) and len(fields) > len(_NOTHING):
        fields = {name: value for name, value in fields.items() if name not in _NOTHING}
    return PriceOf.model_validate(fields)


_NOTHING = ("input_per_million", "output_per_million", "cached_input_per_million")


def _fields(labels: Labels) -> Data:
    """All but what only a whole price has."""
    fields: Data = {
        name: Decimal(value)
        for name, value in labels.items()
        if isinstance(value, str) and name != _MINIMUM_AUDIO
    }
    steps = labels.get("long_context")
    if isinstance(steps, dict):
        told = [(above, rates) for above, rates in steps.items() if isinstance(rates, dict)]
        fields["long_context"] = [
            {"above_input_tokens": int(above), **_fields(rates)} for above, rates in told
        ]
    return fields


def _merged(old: Mapping[str, Any], changes: Mapping[str, Any]) -> Data:
    """JSON Merge Patch (RFC 7386), without what then says nothing."""
    new = dict(old)
    for name, value in changes.items():
        new[name] = _value(name, old.get(name), value)
    return {name: value for name, value in new.items() if value not in (None, {}, [])}


def _value(name: str, old: Any, new: Any) -> Any:
    if isinstance(new, list):
        return [_merged({}, step) for step in new]
    return _merged(old or {}, new) if isinstance(new, dict) and name not in _ALL else new
