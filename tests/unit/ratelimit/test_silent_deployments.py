"""A deployment that was asked and was at work all its time may bill it, though it said nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ratelimit_service.entries import entry_from
from ratelimit_service.replay.line import entry_from_line, line_from_entry
from ratelimit_service.settlement import Entry, charge, silent_cost
from tests.unit.ratelimit.builders import PRICE_LABELS, logged

USAGE = {"input_tokens": 1000, "output_tokens": 500, "usage_source": "estimated"}
COST = 1000 * 150 + 500 * 600
SILENT = {"provider": "a", "silent": {"price": PRICE_LABELS, "usage": USAGE}}
ANSWERED = {"provider": "b", "status": "200"}


def entry_of(tried: list[dict[str, Any]]) -> Entry:
    found = entry_from(logged(tried=tried))
    assert isinstance(found, Entry)
    return found


def test_what_a_silent_deployment_may_bill_is_its_estimate_at_its_own_price() -> None:
    assert silent_cost([SILENT, ANSWERED]) == COST
    assert silent_cost([SILENT, SILENT, ANSWERED]) == 2 * COST


def test_one_that_refused_could_not_be_reached_or_has_no_price_costs_nothing() -> None:
    refused, unreachable = {"provider": "a", "status": "429"}, {"provider": "a"}
    unpriced = {"provider": "a", "silent": {"usage": USAGE}}
    assert silent_cost([refused, unreachable, unpriced, ANSWERED]) == 0


def test_the_stream_and_the_file_tell_the_same_of_it() -> None:
    entry = entry_of([SILENT, ANSWERED])
    assert entry.silent_cost == COST
    assert entry_from_line(line_from_entry(entry)) == entry
    line = {**json.loads(line_from_entry(entry)), "tried": [SILENT, ANSWERED]}
    del line["silent_cost_nanousd"]
    assert entry_from_line(json.dumps(line).encode()) == entry


@given(reserved=st.integers(0, 10**12), silent=st.integers(0, 10**12))
def test_a_guess_takes_no_more_than_was_reserved_and_a_report_is_always_paid(
    reserved: int, silent: int
) -> None:
    entry = replace(entry_of([ANSWERED]), reserved_cost=reserved)
    answered = charge(replace(entry, silent_cost=0)).cost
    cost = charge(replace(entry, silent_cost=silent)).cost
    assert cost >= answered
    assert cost <= max(reserved, answered)
    assert cost == answered + silent or cost == max(reserved, answered)


def test_it_is_paid_too_where_the_last_deployment_could_not_be_reached() -> None:
    entry = replace(entry_of([SILENT, {"provider": "b"}]), reached_provider=False)
    assert charge(replace(entry, reserved_cost=10**9)).cost == COST
