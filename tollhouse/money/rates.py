"""Rates of tokens, which may rise with the length of the input."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from tollhouse.money.amounts import nano_per_million, nano_to_usd
from tollhouse.money.usage import Usage

Labels = dict[str, "str | Labels"]
"""A price as the access log writes it: exact decimal USD by name, nested."""

TOKENS_PER_PRICE: Final = 1_000_000
UNSTATED: Final = -1
"""For a rate: it costs what the rate that stands in for it costs."""

STANDS_IN: Final = {
    "cached_input": "input",
    "cache_write": "input",
    "cache_write_1h": "cache_write",
    "input_audio": "input",
    "input_image": "input",
    "output_audio": "output",
    "output_image": "output",
}
"""What a rate that is not stated costs instead: nothing is free because nobody priced it apart."""
RATES: Final = ("input", "output", *STANDS_IN)

_PARTS = {
    "cache_write_tokens": ("cache_write", "input"),
    "cache_write_1h_tokens": ("cache_write_1h", "input"),
    "input_audio_tokens": ("input_audio", "input"),
    "input_image_tokens": ("input_image", "input"),
    "output_audio_tokens": ("output_audio", "output"),
    "output_image_tokens": ("output_image", "output"),
}
_SUFFIX = "_per_million"
_ALWAYS = ("input", "output", "cached_input")


@dataclass(frozen=True, slots=True)
class Rates:
    """Nano-dollars per million tokens of each kind; see `STANDS_IN` for what is `UNSTATED`.

    `cache_write` is of tokens written to a prompt cache, `cache_write_1h` of those to be kept for
    an hour.
    """

    input: int
    output: int
    cached_input: int = UNSTATED
    cache_write: int = UNSTATED
    cache_write_1h: int = UNSTATED
    input_audio: int = UNSTATED
    output_audio: int = UNSTATED
    input_image: int = UNSTATED
    output_image: int = UNSTATED

    def __post_init__(self) -> None:
        for rate, instead in STANDS_IN.items():
            if getattr(self, rate) == UNSTATED:
                object.__setattr__(self, rate, getattr(self, instead))

    @classmethod
    def from_labels(cls, labels: Mapping[str, object]) -> Self:
        """The inverse of `to_labels`; other entries of the mapping are ignored.

        Raises:
            ValueError: a rate is missing or is not an exact number of nano-dollars.
        """
        return cls(**rates_from(labels))

    def to_labels(self) -> Labels:
        """Exact decimal USD per million tokens, without what equals the rate that stands in."""
        return {
            f"{rate}{_SUFFIX}": nano_to_usd(getattr(self, rate))
            for rate in RATES
            if rate in _ALWAYS or getattr(self, rate) != getattr(self, STANDS_IN[rate])
        }

    def millionths(self, usage: Usage) -> int:
        """What the tokens cost, in millionths of a nano-dollar.

        A provider that reports more of a part than of its total is charged for what it reports of
        each: nothing becomes negative, nothing free.
        """
        return self._input(usage) + self._output(usage)

    def most_millionths(self, usage: Usage, input_tokens: int) -> int:
        """The most that so many input tokens and the output can cost, in millionths: each part of
        `usage` is a bound, and so is their total, of which any number may come from a cache."""
        return _dearest(
            input_tokens,
            max(self.input, self.cached_input),
            (self.cache_write_1h, usage.cache_write_1h_tokens),
            (self.cache_write, usage.cache_write_tokens),
            (self.input_audio, usage.input_audio_tokens),
            (self.input_image, usage.input_image_tokens),
        ) + _dearest(
            usage.output_tokens,
            self.output,
            (self.output_audio, usage.output_audio_tokens),
            (self.output_image, usage.output_image_tokens),
        )

    def dearer_parts_here(self) -> set[str]:
        """The counts of `Usage` that cost more than the total they are part of."""
        return {
            part
            for part, (own, total) in _PARTS.items()
            if getattr(self, own) > getattr(self, total)
        }

    def _input(self, usage: Usage) -> int:
        special = (
            usage.cached_input_tokens
            + usage.cache_write_tokens
            + usage.cache_write_1h_tokens
            + usage.input_audio_tokens
            + usage.input_image_tokens
        )
        return (
            max(usage.input_tokens - special, 0) * self.input
            + usage.cached_input_tokens * self.cached_input
            + usage.cache_write_tokens * self.cache_write
            + usage.cache_write_1h_tokens * self.cache_write_1h
            + usage.input_audio_tokens * self.input_audio
            + usage.input_image_tokens * self.input_image
        )

    def _output(self, usage: Usage) -> int:
        special = usage.output_audio_tokens + usage.output_image_tokens
        return (
            max(usage.output_tokens - special, 0) * self.output
            + usage.output_audio_tokens * self.output_audio
            + usage.output_image_tokens * self.output_image
        )


def _dearest(total: int, usual: int, *parts: tuple[int, int]) -> int:
    """What `total` tokens cost at most, of which the parts are (rate, the most there can be)."""
    cost, left = 0, total
    dearer = [part for part in parts if part[1] and part[0] > usual]
    for rate, bound in sorted(dearer, reverse=True):
        taken = min(bound, left)
        cost, left = cost + taken * rate, left - taken
    return cost + left * usual


@dataclass(frozen=True, slots=True)
class Step:
    """The rates of a whole call whose input has more tokens than `above_input_tokens`."""

    above_input_tokens: int
    rates: Rates


@dataclass(frozen=True, slots=True)
class TokenPrice(Rates):
    """Rates of tokens; `long_context` by rising `above_input_tokens`, of which the last that the
    input exceeds holds."""

    long_context: tuple[Step, ...] = ()

    def rates_for(self, input_tokens: int) -> Rates:
        if not self.long_context:
            return self
        above = [each for each in self.long_context if input_tokens > each.above_input_tokens]
        return above[-1].rates if above else self

    def most_tokens(self, usage: Usage) -> int:
        """As `most_millionths`, for a call with any input up to that of `usage`: it may be dearer
        just below a step than above it."""
        if not self.long_context:
            return self.most_millionths(usage, usage.input_tokens)
        ends = [each.above_input_tokens for each in self.long_context]
        totals = [usage.input_tokens, *(end for end in ends if end < usage.input_tokens)]
        return max(self.rates_for(total).most_millionths(usage, total) for total in totals)

    def to_labels(self) -> Labels:
        """As of `Rates`, with `long_context` by its `above_input_tokens`."""
        labels = Rates.to_labels(self)
        if self.long_context:
            steps = {str(each.above_input_tokens): each.rates for each in self.long_context}
            labels["long_context"] = {above: rates.to_labels() for above, rates in steps.items()}
        return labels

    @classmethod
    def from_labels(cls, labels: Mapping[str, object]) -> Self:
        """The inverse of `to_labels`. Raises ValueError as that of `Rates`."""
        return cls(**rates_from(labels), long_context=steps_from(labels))


def rates_from(labels: Mapping[str, object]) -> dict[str, int]:
    """The rates of tokens that are stated. Raises ValueError."""
    missing = next((rate for rate in _ALWAYS if f"{rate}{_SUFFIX}" not in labels), None)
    if missing:
        raise ValueError(f"the price {missing}{_SUFFIX} is missing")
    names = {rate: f"{rate}{_SUFFIX}" for rate in RATES}
    return {rate: nano(labels[name]) for rate, name in names.items() if name in labels}


def steps_from(labels: Mapping[str, object]) -> tuple[Step, ...]:
    """The steps of `long_context`, in order. Raises ValueError."""
    stated = nested(labels, "long_context")
    steps = [Step(int(above), Rates.from_labels(nested(stated, above))) for above in stated]
    return tuple(sorted(steps, key=lambda each: each.above_input_tokens))


def nested(labels: Mapping[str, object], name: str) -> Mapping[str, object]:
    """The labels under a name, none where there is none. Raises ValueError for other values."""
    found = labels.get(name, {})
    if not isinstance(found, Mapping):
        raise ValueError(f"the price {name} is not an object")
    return found


def nano(written: object) -> int:
    """Nano-dollars of a label. Raises ValueError."""
    return nano_per_million(str(written))
