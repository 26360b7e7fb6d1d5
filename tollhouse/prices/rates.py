"""The rates of a price, one by one, for people. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from tollhouse.money import Labels, format_usd, usd_to_nano

_PER_MILLION = "_per_million"
_UNITS = {
    "per_hour": ("input audio", "an hour"),
    "per_million_characters": ("speech", "a million characters"),
    "per_thousand_searches": ("rerank", "a thousand searches"),
    "per_request": ("request", "each"),
}
_MINIMUM_AUDIO = "minimum_audio_milliseconds"
Row = tuple[str, str, str]
"""What is charged, USD, for how much of it."""


def rows(labels: Labels, where: str = "") -> Iterator[Row]:
    """The rates of one level, then those of long inputs, tiers and pictures."""
    for name, value in labels.items():
        if isinstance(value, dict):
            yield from _nested(name, value, where)
        elif name == _MINIMUM_AUDIO:
            yield (f"{where}input audio", f"{int(value) / 1000:g} s", "at least")
        else:
            what, per = _UNITS.get(name, (_words(name), "a million tokens"))
            yield (f"{where}{what}", format_usd(usd_to_nano(value)), per)


def _nested(name: str, within: Labels, where: str) -> Iterator[Row]:
    for key, value in within.items():
        if not isinstance(value, dict):
            yield (f"{where}image, {key}", format_usd(usd_to_nano(value)), "each")
        elif name == "service_tiers":
            yield from rows(value, f"{where}{key}: ")
        else:
            yield from rows(value, f"{where}above {int(key):,} input tokens: ")


def _words(name: str) -> str:
    return name.removesuffix(_PER_MILLION).replace("_", " ")
