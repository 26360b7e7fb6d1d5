"""What one request used."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from operator import attrgetter
from typing import Final

COUNTS: Final = (
    "input_tokens",
    "output_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "input_audio_tokens",
    "input_image_tokens",
    "reasoning_tokens",
    "output_audio_tokens",
    "output_image_tokens",
    "images",
    "audio_milliseconds",
    "characters",
    "search_units",
)
"""The counts of `Usage`, by the names that they have in `tollhouse.response` and the access log."""

PARTS: Final = frozenset(
    {
        "cache_write_tokens",
        "cache_write_1h_tokens",
        "input_audio_tokens",
        "input_image_tokens",
        "output_audio_tokens",
        "output_image_tokens",
    }
)
"""Those that are part of a total and can cost more than the rest of it."""

_BESIDE = COUNTS[2:]
_COUNTS_OF: Callable[[object], tuple[int, ...]] = attrgetter(*COUNTS)
_BESIDE_OF: Callable[[object], tuple[int, ...]] = attrgetter(*_BESIDE)


@dataclass(frozen=True, slots=True)
class Usage:
    """Counts of one request; totals include their parts, which do not overlap.

    Of `input_tokens`: `cached_input_tokens` were read from a prompt cache, `cache_write_tokens` and
    `cache_write_1h_tokens` written to one (the latter to be kept for an hour), and
    `input_audio_tokens` and `input_image_tokens` are of sound and pictures. Of `output_tokens`:
    `reasoning_tokens`, which cost what output does, `output_audio_tokens`, `output_image_tokens`.
    `images` were made, `audio_milliseconds` of sound were listened to, `characters` were spoken,
    `search_units` are of rerank. `service_tier` is the one the provider says it used;
    `image_variant` is "QUALITY SIZE" as asked for. Both are empty where nothing is said.

    Source of the convention: OpenTelemetry's GenAI attributes, where gen_ai.usage.input_tokens
    includes cached tokens, and OpenAI's usage object with its `*_tokens_details`.

    Raises:
        ValueError: a count is negative (a negative charge would be a gift).
    """

    input_tokens: int
    output_tokens: int
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    input_audio_tokens: int = 0
    input_image_tokens: int = 0
    reasoning_tokens: int = 0
    output_audio_tokens: int = 0
    output_image_tokens: int = 0
    images: int = 0
    audio_milliseconds: int = 0
    characters: int = 0
    search_units: int = 0
    service_tier: str = ""
    image_variant: str = ""

    def __post_init__(self) -> None:
        if min(_COUNTS_OF(self)) < 0:
            raise ValueError("counts are 0 or more")

    def counts(self) -> dict[str, int]:
        """Every count by its name, zeros too, in the order of `COUNTS`."""
        return dict(zip(COUNTS, _COUNTS_OF(self), strict=True))

    def beside_totals(self) -> Iterable[tuple[str, int]]:
        """Every count but the two totals, zeros too."""
        return zip(_BESIDE, _BESIDE_OF(self), strict=True)
