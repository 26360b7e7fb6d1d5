"""What must hold on the gateway's side, whatever client made a call."""

from __future__ import annotations

from typing import Any

from tests.clients.client import Outcome

COUNTS = (
    "input_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "output_tokens",
    "reasoning_tokens",
    "images",
    "audio_milliseconds",
    "characters",
    "search_units",
)
"""The counts of a call that the access log and the simulator's bill have under one name."""


def assert_billed(outcome: Outcome, alias: str, *, key: str = "app") -> None:
    """Every call is in the log under its key and alias, and was settled at what the provider
    reported; all together they are what the provider billed."""
    for line in outcome.calls:
        assert (line["key_id"], line["alias"], line["decision"]) == (key, alias, "allowed")
        assert line["status"] == 200
        assert line["usage"]["usage_source"] == "reported"
        assert "reservation_id" in line["reservation"]
    logged, billed = _logged(outcome.calls), _billed(outcome.bill)
    assert logged == billed


def _logged(lines: list[dict[str, Any]]) -> dict[str, int]:
    return {name: sum(int(line["usage"].get(name, 0)) for line in lines) for name in COUNTS}


def _billed(bill: dict[str, Any]) -> dict[str, int]:
    models = bill["by_model"].values()
    return {name: sum(model.get(name, 0) for model in models) for name in COUNTS}


def assert_refused(outcome: Outcome, code: str, *, status: int) -> None:
    """The one call was refused with this code, and nothing reached the provider."""
    [line] = outcome.calls
    assert (line["status"], line["decision"]) == (status, code)
    assert outcome.received == []


def assert_free(outcome: Outcome) -> None:
    """The provider billed nothing, and nothing was charged: an error costs nothing."""
    assert outcome.bill["requests"] == 0
    for line in outcome.calls:
        assert not line.get("usage", {}).get("input_tokens")
