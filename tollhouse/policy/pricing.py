"""Prices: what the policy states, else the public list that genai-prices bundles."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal

from tollhouse.endpoints import (
    EMBEDDINGS,
    GENERATING,
    IMAGE_EDITS,
    IMAGES,
    MODERATIONS,
    RERANK,
    SPEECH,
    TRANSCRIPTIONS,
    TRANSLATIONS,
    UNCHECKED,
)
from tollhouse.money import Price, usd_to_nano
from tollhouse.money.rates import RATES
from tollhouse.policy.curves import Stated, curves_of
from tollhouse.policy.model_files import ModelFile, PriceFile, RatesFile, TierFile
from tollhouse.policy.provider_files import ProviderFile
from tollhouse.policy.public_prices import NoPublicPrice, public_price

_TEXT = frozenset({"input", "output"})
_SOUND, _PICTURES = frozenset({"per_hour"}), frozenset({"per_image"})
# What has to be stated so that a call of an endpoint is not free: all of one of these.
_NEEDED = {
    **dict.fromkeys(GENERATING, (_TEXT,)),
    **dict.fromkeys((EMBEDDINGS, MODERATIONS), (frozenset({"input"}),)),
    **dict.fromkeys((TRANSCRIPTIONS, TRANSLATIONS), (_SOUND, _TEXT)),
    **dict.fromkeys((IMAGES, IMAGE_EDITS), (_PICTURES, _TEXT)),
    **dict.fromkeys(UNCHECKED, ()),
    SPEECH: (frozenset({"per_million_characters"}), _TEXT),
    RERANK: (frozenset({"per_thousand_searches"}), frozenset({"input"})),
}


@dataclass(frozen=True, slots=True)
class Pricing:
    """A price and where it is from, or why there is none."""

    price: Price | None = None
    source: Literal["policy", "genai-prices"] | None = None
    missing_because: str = ""


def pricing_of(
    provider_name: str, provider: ProviderFile, alias: ModelFile, now: datetime
) -> Pricing:
    """The price in force at `now` (an aware datetime) for one alias with one deployment."""
    try:
        if alias.price is not None:
            return _pricing(_stated(alias.price), "policy", alias.endpoints or ())
        listed = public_price(provider_name, provider.base_url, alias.model or "", now)
        return _pricing(listed, "genai-prices", alias.endpoints or ())
    except NoPublicPrice as error:
        return Pricing(missing_because=str(error))
    except ValueError:
        return Pricing(missing_because="its price is finer than a nano-dollar")


def _pricing(
    stated: Stated, source: Literal["policy", "genai-prices"], endpoints: Iterable[str]
) -> Pricing:
    unpriced = _unpriced(stated, endpoints)
    if unpriced:
        whose = "its price" if source == "policy" else "its public price"
        return Pricing(missing_because=f"{whose} has nothing that a call of {unpriced} is charged")
    return Pricing(stated.price(), source)


def _unpriced(stated: Stated, endpoints: Iterable[str]) -> str | None:
    """An endpoint whose calls would be free, None where there is none."""
    known = stated.usual.keys() | stated.units.keys()
    if "per_request" in known:
        return None
    return next(
        (each for each in sorted(endpoints) if not any(need <= known for need in _NEEDED[each])),
        None,
    )


def _stated(file: PriceFile) -> Stated:
    return Stated(
        usual=_curves(file),
        tiers={tier: _curves(own) for tier, own in file.service_tiers.items()},
        units=dict(_units(file)),
    )


def _curves(file: TierFile) -> dict[str, dict[int, Decimal | None]]:
    steps = [(each.above_input_tokens, _rates(each)) for each in file.long_context]
    return curves_of(_rates(file), steps)


def _rates(file: RatesFile) -> dict[str, Decimal]:
    stated = {rate: getattr(file, f"{rate}_per_million") for rate in RATES}
    return {rate: usd for rate, usd in stated.items() if usd is not None}


def _units(file: PriceFile) -> Iterable[tuple[str, object]]:
    """The fields of `Price` for what is stated."""
    if file.per_image is not None:
        yield (
            "per_image",
            tuple(sorted((of, usd_to_nano(usd)) for of, usd in file.per_image.items())),
        )
    if file.per_minute is not None:
        yield "per_hour", usd_to_nano(file.per_minute) * 60
    for unit in ("per_hour", "per_million_characters", "per_thousand_searches", "per_request"):
        usd = getattr(file, unit)
        if usd is not None:
            yield unit, usd_to_nano(usd)
    if file.minimum_audio_seconds:
        yield "minimum_audio_milliseconds", file.minimum_audio_seconds * 1000
