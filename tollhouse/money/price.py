"""What a call costs.

Every rate is an integer of nano-dollars for its unit; a cost is summed over one common denominator
and rounded up once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from tollhouse.money.amounts import nano_to_usd
from tollhouse.money.rates import (
    TOKENS_PER_PRICE,
    Labels,
    TokenPrice,
    nano,
    nested,
    rates_from,
    steps_from,
)
from tollhouse.money.usage import Usage

DEFAULT_VARIANT: Final = "default"

_MILLISECONDS_PER_PRICE = 3_600_000
_CHARACTERS_PER_PRICE = 1_000_000
_SEARCHES_PER_PRICE = 1_000
# The least common multiple of the units.
_COMMON = 18_000_000

_UNITS = ("per_hour", "per_million_characters", "per_thousand_searches", "per_request")
_MINIMUM_AUDIO = "minimum_audio_milliseconds"


@dataclass(frozen=True, slots=True)
class Price(TokenPrice):
    """What is charged for a call: the sum of all that is stated.

    `service_tiers` are (name, rates) of tiers with rates of their own. `per_image` are
    ("QUALITY SIZE", rate) and ("default", rate) for all others. `per_hour` is of input audio, of
    which a call is charged `minimum_audio_milliseconds` at least if it has any.
    """

    service_tiers: tuple[tuple[str, TokenPrice], ...] = ()
    per_image: tuple[tuple[str, int], ...] = ()
    per_hour: int = 0
    minimum_audio_milliseconds: int = 0
    per_million_characters: int = 0
    per_thousand_searches: int = 0
    per_request: int = 0

    def cost(self, usage: Usage) -> int:
        """Nano-dollars for one request; a fraction of a nano-dollar is charged up, once."""
        rates = self.tier(usage.service_tier).rates_for(usage.input_tokens)
        return self._sum(rates.millionths(usage), usage)

    def most(self, usage: Usage) -> int:
        """Nano-dollars that a call can cost of which `usage` bounds every count, total and part, if
        it is served in that service tier or the usual one."""
        usual = self.most_tokens(usage)
        asked = self.tier(usage.service_tier)
        return self._sum(usual if asked is self else max(usual, asked.most_tokens(usage)), usage)

    def _sum(self, millionths: int, usage: Usage) -> int:
        """Of what the tokens cost, in millionths of a nano-dollar, and all the rest."""
        total = (
            millionths * (_COMMON // TOKENS_PER_PRICE)
            + self._milliseconds(usage) * self.per_hour * (_COMMON // _MILLISECONDS_PER_PRICE)
            + usage.characters * self.per_million_characters * (_COMMON // _CHARACTERS_PER_PRICE)
            + usage.search_units * self.per_thousand_searches * (_COMMON // _SEARCHES_PER_PRICE)
            + (usage.images * self.image(usage.image_variant) + self.per_request) * _COMMON
        )
        return -(-total // _COMMON)

    def dearer_parts(self) -> frozenset[str]:
        """The counts of `Usage` that cost more than the total they are part of, in any tier."""
        found: set[str] = set()
        for tier in (self, *(rates for _, rates in self.service_tiers)):
            for rates in (tier, *(step.rates for step in tier.long_context)):
                found |= rates.dearer_parts_here()
        return frozenset(found)

    def tier(self, name: str) -> TokenPrice:
        """The rates of a service tier; the usual ones of a tier that has none of its own."""
        if not self.service_tiers:
            return self
        return next((rates for tier, rates in self.service_tiers if tier == name), self)

    def image(self, variant: str) -> int:
        """Nano-dollars for one image of a variant."""
        if not self.per_image:
            return 0
        rates = dict(self.per_image)
        return rates.get(variant, rates.get(DEFAULT_VARIANT, 0))

    def _milliseconds(self, usage: Usage) -> int:
        heard = usage.audio_milliseconds
        return max(heard, self.minimum_audio_milliseconds) if heard else 0

    def to_labels(self) -> Labels:
        """As the access log writes them, without what is not charged.

        As of `TokenPrice`, with `service_tiers` by name, `per_image` by variant, the other units in
        USD, and `minimum_audio_milliseconds`.
        """
        labels = TokenPrice.to_labels(self)
        if self.service_tiers:
            labels["service_tiers"] = {tier: of.to_labels() for tier, of in self.service_tiers}
        if self.per_image:
            labels["per_image"] = {each: nano_to_usd(rate) for each, rate in self.per_image}
        units = {unit: getattr(self, unit) for unit in _UNITS}
        labels |= {unit: nano_to_usd(rate) for unit, rate in units.items() if rate}
        if self.minimum_audio_milliseconds:
            labels[_MINIMUM_AUDIO] = str(self.minimum_audio_milliseconds)
        return labels

    @classmethod
    def from_labels(cls, labels: Mapping[str, object]) -> Self:
        """The inverse of `to_labels`; other entries of the mapping are ignored.

        Raises:
            ValueError: a rate is missing or is not an exact number of nano-dollars.
        """
        tiers = nested(labels, "service_tiers")
        images = nested(labels, "per_image")
        return cls(
            **rates_from(labels),
            long_context=steps_from(labels),
            service_tiers=tuple(
                (tier, TokenPrice.from_labels(nested(tiers, tier))) for tier in sorted(tiers)
            ),
            per_image=tuple((each, nano(images[each])) for each in sorted(images)),
            **{unit: nano(labels[unit]) for unit in _UNITS if unit in labels},
            minimum_audio_milliseconds=int(str(labels.get(_MINIMUM_AUDIO, 0))),
        )
