"""What must hold on the gateway's side, whatever client made a call."""

from __future__ import annotations

from typing import Any

from tests.clients.client import Outcome

COUNTS = (
    "input_tokens",
    "output_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "input_image_tokens",
    "reasoning_tokens",
    "images",
    "audio_milliseconds",
    "characters",
    "search_units",
)
"""The counts of a call that the access log and the simulator's bill have under one name."""
# Of what a provider does not report the estimate stays (docs/access-log.md).
_ESTIMATED_WHERE_UNREPORTED = ("input_tokens", "output_tokens")


def assert_billed(
    outcome: Outcome, alias: str, *, key: str = "app", source: str = "reported"
) -> None:
    """Every call is in the log under its key and alias, and was settled with usage of that source;
    all together they are what the provider billed."""
    for line in outcome.calls:
        assert (line["key_id"], line["alias"], line["decision"]) == (key, alias, "allowed")
        assert line["status"] == 200
        assert line["usage"]["usage_source"] == source
        assert "reservation_id" in line["reservation"]
    billed = _billed(outcome.bill)
    for name in _ESTIMATED_WHERE_UNREPORTED:
        if not billed[name]:
            del billed[name]
    logged = _logged(outcome.calls)
    assert {name: logged[name] for name in billed} == billed


def assert_left(outcome: Outcome, alias: str) -> None:
    """The call that its client left half-way is charged, by an estimate that says it is one."""
    [line] = outcome.calls
    assert (line["key_id"], line["alias"]) == ("app", alias)
    assert line["usage"]["usage_source"] == "estimated"
    assert line["usage"]["output_tokens"] > 0


def assert_free(outcome: Outcome) -> None:
    """The provider billed nothing, and nothing was charged."""
    for line in outcome.calls:
        assert line["usage"]["usage_source"] == "none"
    assert not any(_billed(outcome.bill).values())


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
