"""What a finished request is charged, and the instruction that the ledger gets for it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit_service.ledger.types import (
    LARGEST_AMOUNT,
    ScopeClaim,
    Slot,
    SlotClaim,
    TakenUsage,
    UsageRow,
    Withdrawal,
)
from ratelimit_service.settlement import (
    ESTIMATED,
    NONE,
    REPORTED,
    Charge,
    UnansweredEntry,
    charge,
    format_slot,
    parse_slot,
    settlement,
    withdrawal,
)
from tests.unit.ratelimit.builders import IN_TEAM, KEY_ID, USED, entry
from tollhouse.money import Usage
from tollhouse.policy.compiled import Limits, Org

ORG = Org("acme", "UTC", None, Limits(), "deny", "charge", 900, 4_096, 2**20)
NOTHING = Charge(Usage(0, 0), 0, NONE)


@pytest.mark.parametrize("source", [REPORTED, ESTIMATED])
def test_usage_is_charged_at_the_price_of_the_call_and_says_where_it_was_learned(
    source: str,
) -> None:
    charged = charge(entry(usage_source=source))
    assert charged == Charge(USED, 450_000, source)
    assert charged.tokens == 1_500


def test_cached_input_costs_its_own_price() -> None:
    charged = charge(entry(usage=Usage(1_000, 500, 800)))
    assert charged.cost == 200 * 150 + 800 * 75 + 500 * 600
    assert charged.tokens == 1_500


@pytest.mark.parametrize("source", [REPORTED, ESTIMATED, NONE])
def test_what_the_provider_never_got_is_not_charged(source: str) -> None:
    assert charge(entry(usage_source=source, reached_provider=False)) == NOTHING


def test_a_call_that_used_nothing_is_not_charged() -> None:
    assert charge(entry(usage_source=NONE)) == NOTHING


def test_an_alias_without_a_price_is_charged_its_tokens_alone() -> None:
    assert charge(entry(price=None)) == Charge(USED, 0, REPORTED)


def test_the_ledger_charges_the_scopes_that_the_claim_counted() -> None:
    ended = entry(slots=(IN_TEAM, "org:acme|org", "alias:small|alias"))
    told = settlement(ended, charge(ended), replace(ORG, time_zone="Europe/Berlin"))
    assert told.slots == (
        (Slot("team", "web"), (f"key:{KEY_ID}", "project:site", "team")),
        (Slot("org", "acme"), ("org",)),
        (Slot("alias", "small"), ("alias",)),
    )
    assert told.reservation_id == ended.reservation_id
    assert (told.tokens, told.cost, told.time_zone) == (1_500, 450_000, "Europe/Berlin")


@pytest.mark.parametrize(
    "usage", [Usage(2**53, 2**53), Usage(LARGEST_AMOUNT, 1), Usage(0, 0, 2**53), Usage(10**300, 0)]
)
def test_a_provider_that_reports_more_than_the_ledger_counts_is_charged_the_largest_amount(
    usage: Usage,
) -> None:
    absurd = entry(usage=usage)
    told = settlement(absurd, charge(absurd), ORG)
    assert told.cost == LARGEST_AMOUNT
    assert told.tokens == min(usage.input_tokens + usage.output_tokens, LARGEST_AMOUNT)


@pytest.mark.parametrize(
    "malformed",
    [
        *("", "team|team", "web|team", "key:web-1|team", "Team:web|team", " team:web|team"),
        *("team:|team", "team:a b|team", "team:web", "team:web|"),
    ],
)
def test_a_slot_that_is_none_is_an_error(malformed: str) -> None:
    with pytest.raises(ValueError, match="slot"):
        parse_slot(malformed)


def test_an_entry_without_a_reservation_of_ours_is_an_error() -> None:
    stranger = entry(reservation_id="80bf7770-886e-4285-a9eb-0c430cb083fb")
    with pytest.raises(ValueError, match="32 lower-case hex digits"):
        settlement(stranger, charge(stranger), ORG)


names = st.text(
    st.characters(exclude_categories=["Z", "C"], exclude_characters="{}|,*~"), min_size=1
)


@given(
    st.builds(Slot, st.sampled_from(["team", "org", "alias"]), names),
    st.lists(names, min_size=1),
    st.lists(names),
)
def test_a_slot_and_its_scopes_survive_the_access_log(
    slot: Slot, reserved: list[str], counted: list[str]
) -> None:
    written = format_slot(SlotClaim(slot, tuple(map(ScopeClaim, reserved)), tuple(counted)))
    assert parse_slot(written) == (slot, (*reserved, *(f"{name}~" for name in counted)))


def test_a_slot_is_written_as_the_access_log_documents_it() -> None:
    slot = Slot("alias", "openai/gpt4:mini")
    assert format_slot(SlotClaim(slot, (ScopeClaim("alias"),))) == "alias:openai/gpt4:mini|alias"
    assert parse_slot("alias:openai/gpt4:mini|alias") == (slot, ("alias",))
    assert format_slot(SlotClaim(slot, (), ("alias",))) == "alias:openai/gpt4:mini|alias~"


def test_the_history_notes_tokens_and_errors_under_project_key_and_alias() -> None:
    ended = replace(entry(usage=Usage(1_000, 500, 200)), failed=True)
    told = settlement(ended, charge(ended), ORG)
    assert told.row == UsageRow("site", KEY_ID, "small", ORG.usage_retention_days)
    assert told.usage == TakenUsage(1_000, 500, 200, errors=1)


def test_a_reservation_whose_answer_was_lost_is_looked_for_wherever_it_may_be() -> None:
    lost = withdrawal(UnansweredEntry("80bf7770", "web", "small"), ORG)
    slots = (Slot("team", "web"), Slot("org", "acme"), Slot("alias", "small"))
    assert lost == Withdrawal(slots, request_id="80bf7770")
