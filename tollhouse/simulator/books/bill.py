"""What a provider would charge."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from tollhouse.simulator.reply import Charge
from tollhouse.simulator.usage import Counts

Lines = dict[str, dict[str, int]]


def described(counts: Counts) -> dict[str, int]:
    """All counts by name, and three of them as OpenAI's chat calls them."""
    return {
        "prompt_tokens": counts.input_tokens,
        "cached_tokens": counts.cached_input_tokens,
        "completion_tokens": counts.output_tokens,
        **asdict(counts),
    }


class Bill:
    """Counts by model, over all providers and for each.

    Every valid request that met no error is charged its input, and the output tokens that
    had been generated when the exchange ended, however it ended.
    """

    def __init__(self) -> None:
        self._models: Lines = {}
        self._providers: dict[str, Lines] = {}

    def add(self, provider: str, charge: Charge, counts: Counts) -> None:
        """Charge one request what it came to, which may be less than its `charge` says."""
        for lines in (self._models, self._providers.setdefault(provider, {})):
            line = lines.setdefault(charge.model, {"requests": 0})
            line["requests"] += 1
            for name, number in described(counts).items():
                line[name] = line.get(name, 0) + number

    def clear(self) -> None:
        """Start anew."""
        self._models.clear()
        self._providers.clear()

    def to_json(self) -> dict[str, Any]:
        """{"requests": n, "by_model": {model: counts}, "by_provider": {name: {model: counts}}}."""
        return {
            "requests": sum(line["requests"] for line in self._models.values()),
            "by_model": self._models,
            "by_provider": self._providers,
        }
