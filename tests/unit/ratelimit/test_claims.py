"""What the ledger is asked for: which scopes in which slots, and how much."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ratelimit_service.claims import claim
from ratelimit_service.ledger.ids import new_reservation_id
from ratelimit_service.ledger.types import LARGEST_AMOUNT, Claim, ScopeLimits, Slot
from ratelimit_service.reservation import RequestSize
from tests.unit.ratelimit.builders import KEY_ID, size, snapshot_of
from tollhouse import contract
from tollhouse.money import Usage
from tollhouse.policy.compiled import Snapshot

ID = new_reservation_id()
KEY, PROJECT = f"key:{KEY_ID}", "project:site"


def claim_of(
    snapshot: Snapshot, asked: RequestSize | None = None, alias: str = "small"
) -> tuple[Claim, Usage]:
    return claim(snapshot, snapshot.keys[KEY_ID], snapshot.aliases[alias], asked or size(), ID)


def slots_of(snapshot: Snapshot) -> list[Slot]:
    return [part.slot for part in claim_of(snapshot)[0].slots]


def test_key_project_and_team_are_counted_together_even_without_limits(tmp_path: Path) -> None:
    (part,) = claim_of(snapshot_of(tmp_path))[0].slots
    assert part.slot == Slot("team", "web")
    assert part.scopes == (ScopeLimits(KEY), ScopeLimits(PROJECT), ScopeLimits("team"))


@pytest.mark.parametrize(
    ("limited", "slots"),
    [
        ({"org": "requests_per_minute: 5"}, [Slot("org", "acme")]),
        ({"org": "tokens_per_minute: 5"}, [Slot("org", "acme")]),
        ({"org": "monthly_spend_usd: 5"}, [Slot("org", "acme")]),
        ({"alias": "requests_per_minute: 5"}, [Slot("alias", "small")]),
        ({"alias": "tokens_per_minute: 5"}, [Slot("alias", "small")]),
        (
            {"org": "monthly_spend_usd: 5", "alias": "requests_per_minute: 5"},
            [Slot("org", "acme"), Slot("alias", "small")],
        ),
        ({"key": "requests_per_minute: 5", "team": "requests_per_minute: 9"}, []),
    ],
)
def test_org_and_alias_are_asked_only_where_they_have_a_limit(
    tmp_path: Path, limited: dict[str, str], slots: list[Slot]
) -> None:
    assert slots_of(snapshot_of(tmp_path, **limited)) == [Slot("team", "web"), *slots]


def test_a_limit_of_zero_is_a_limit(tmp_path: Path) -> None:
    assert Slot("org", "acme") in slots_of(snapshot_of(tmp_path, org="monthly_spend_usd: 0"))


def test_every_limit_arrives_at_its_own_scope(tmp_path: Path) -> None:
    snapshot = snapshot_of(
        tmp_path,
        key="requests_per_minute: 1, tokens_per_minute: 10, monthly_spend_usd: 0.1",
        project="requests_per_minute: 2",
        team="tokens_per_minute: 30",
        org="monthly_spend_usd: 4",
        alias="requests_per_minute: 5, tokens_per_minute: 50",
    )
    team, org, alias = claim_of(snapshot)[0].slots
    assert team.scopes == (
        ScopeLimits(KEY, 1, 10, 100_000_000),
        ScopeLimits(PROJECT, requests_per_minute=2),
        ScopeLimits("team", tokens_per_minute=30),
    )
    assert org.scopes == (ScopeLimits("org", monthly_spend_nanousd=4_000_000_000),)
    assert alias.scopes == (ScopeLimits("alias", 5, 50),)


def test_the_worst_case_is_claimed_at_the_full_price(tmp_path: Path) -> None:
    asked, bound = claim_of(snapshot_of(tmp_path), size(2_000, max_tokens=100, n=2))
    assert bound == Usage(2_000, 200)
    assert (asked.tokens, asked.cost) == (2_200, 2_000 * 150 + 200 * 600)


def test_the_id_and_what_the_org_says_of_leases_and_months_go_with_the_claim(
    tmp_path: Path,
) -> None:
    fields = (
        "on_lost_reservation: release\nreservation_lease_seconds: 77\ntime_zone: Europe/Berlin\n"
    )
    asked, _ = claim_of(snapshot_of(tmp_path, org_fields=fields))
    assert asked.reservation_id == ID
    assert (asked.lease_seconds, asked.on_lost) == (77, "release")
    assert asked.time_zone == "Europe/Berlin"


def test_an_alias_without_a_price_claims_tokens_and_no_money(tmp_path: Path) -> None:
    snapshot = snapshot_of(tmp_path)
    unpriced = replace(snapshot.aliases["small"], price=None)
    asked, _ = claim(snapshot, snapshot.keys[KEY_ID], unpriced, size(50, max_tokens=5), ID)
    assert (asked.tokens, asked.cost) == (55, 0)


@pytest.mark.parametrize(
    "hostile",
    [
        size(1, media_parts=2**52),
        size(1, max_tokens=1_000, n=2**53),
        size(2**53),
        size(2**53, endpoint=contract.EMBEDDINGS),
    ],
)
def test_amounts_that_the_ledger_cannot_count_become_the_largest_that_it_can(
    tmp_path: Path, hostile: RequestSize
) -> None:
    asked, bound = claim_of(snapshot_of(tmp_path), hostile)
    assert bound.input_tokens + bound.output_tokens > LARGEST_AMOUNT
    assert (asked.tokens, asked.cost) == (LARGEST_AMOUNT, LARGEST_AMOUNT)


def test_the_cost_is_capped_also_where_the_tokens_can_be_counted(tmp_path: Path) -> None:
    asked, _ = claim_of(snapshot_of(tmp_path), size(2**50))
    assert asked.tokens == 2**50 + 1_000
    assert asked.cost == LARGEST_AMOUNT
