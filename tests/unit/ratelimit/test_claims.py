"""What the ledger is asked for: which scopes in which slots, and how much."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ratelimit_service.claims import Bound, bound, scope_name
from ratelimit_service.ledger.types import LARGEST_AMOUNT, ScopeClaim, Slot, UsageRow
from ratelimit_service.size import RequestSize
from ratelimit_service.terms import all_terms
from tests.unit.ratelimit.builders import KEY_ID, REQUEST_ID, claim_of, size, snapshot_of
from tollhouse import endpoints
from tollhouse.money import Usage
from tollhouse.policy.compiled import Limits, Scope, Snapshot

KEY, PROJECT = f"key:{KEY_ID}", "project:site"


def worst(snapshot: Snapshot, asked: RequestSize) -> Bound:
    """The bound of a call to `small`."""
    return bound(all_terms(snapshot, snapshot.aliases["small"]), asked)


def slots_of(snapshot: Snapshot) -> list[Slot]:
    return [part.slot for part in claim_of(snapshot).asked]


def counted_of(snapshot: Snapshot) -> dict[Slot, tuple[str, ...]]:
    return {part.slot: part.counted for part in claim_of(snapshot).slots}


def test_key_project_and_team_are_counted_together_even_without_limits(tmp_path: Path) -> None:
    (part,) = claim_of(snapshot_of(tmp_path)).asked
    assert part.slot == Slot("team", "web")
    assert part.scopes == (ScopeClaim(KEY), ScopeClaim(PROJECT), ScopeClaim("team"))


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
    team, org, alias = claim_of(snapshot).slots
    assert team.scopes == (
        ScopeClaim(KEY, Limits(1, 10, monthly_spend_nanousd=100_000_000)),
        ScopeClaim(PROJECT, Limits(requests_per_minute=2)),
        ScopeClaim("team", Limits(tokens_per_minute=30)),
    )
    assert org.scopes == (ScopeClaim("org", Limits(monthly_spend_nanousd=4_000_000_000)),)
    assert alias.scopes == (ScopeClaim("alias", Limits(5, 50)),)


def test_the_worst_case_is_claimed_at_the_full_price(tmp_path: Path) -> None:
    snapshot = snapshot_of(tmp_path)
    two_choices = size(2_000, max_tokens=100, n=2)
    expected = worst(snapshot, two_choices)
    asked = claim_of(snapshot, two_choices)
    assert expected.usage == Usage(2_000, 200)
    assert (asked.tokens, asked.cost) == (2_200, 2_000 * 150 + 200 * 600)


def test_envoys_request_id_and_what_the_org_says_of_leases_and_months_go_with_the_claim(
    tmp_path: Path,
) -> None:
    fields = (
        "on_lost_reservation: release\nreservation_lease_seconds: 77\ntime_zone: Europe/Berlin\n"
    )
    asked = claim_of(snapshot_of(tmp_path, org_fields=fields))
    assert asked.request_id == REQUEST_ID
    assert (asked.lease_seconds, asked.on_lost) == (77, "release")
    assert asked.time_zone == "Europe/Berlin"


def test_an_alias_without_a_price_claims_tokens_and_no_money(tmp_path: Path) -> None:
    snapshot = snapshot_of(tmp_path)
    small = snapshot.aliases["small"]
    unpriced = replace(small, deployments=(replace(small.first, price=None),))
    asked = claim_of(snapshot, size(50, max_tokens=5), unpriced)
    assert (asked.tokens, asked.cost) == (55, 0)


@pytest.mark.parametrize(
    "hostile",
    [
        size(1, media_parts=2**52),
        size(1, max_tokens=1_000, n=2**53),
        size(2**53),
        size(2**53, endpoint=endpoints.EMBEDDINGS),
    ],
)
def test_a_call_beyond_what_the_ledger_counts_is_not_countable(
    tmp_path: Path, hostile: RequestSize
) -> None:
    snapshot = snapshot_of(tmp_path)
    assert not worst(snapshot, hostile).is_countable


def test_a_call_is_not_countable_for_its_cost_alone(tmp_path: Path) -> None:
    snapshot = snapshot_of(tmp_path)
    dear = worst(snapshot, size(2**40))
    assert dear.tokens < LARGEST_AMOUNT < dear.cost
    assert not dear.is_countable
    assert worst(snapshot, size(2**30)).is_countable


@pytest.mark.parametrize(
    ("scope", "name"),
    [
        (Scope("key", "web-1", Limits(), None), "key:web-1"),
        (Scope("key", "web-1", Limits(), None, "openai/gpt@4"), "key:web-1@openai/gpt@4"),
        (Scope("project", "site", Limits(), None, "small"), "project:site@small"),
        (Scope("team", "web", Limits(), None), "team"),
        (Scope("team", "web", Limits(), None, "small"), "team@small"),
        (Scope("org", "acme", Limits(), None), "org"),
        (Scope("alias", "small", Limits(), None), "alias"),
    ],
)
def test_a_scope_is_named_by_its_level_its_name_and_its_model(scope: Scope, name: str) -> None:
    assert scope_name(scope) == name


def test_limits_of_a_key_with_one_model_are_counted_beside_those_of_the_key(
    tmp_path: Path,
) -> None:
    snapshot = snapshot_of(tmp_path)
    own = {"small": Limits(requests_per_minute=3)}
    key = replace(snapshot.keys[KEY_ID], model_limits=own)
    snapshot = replace(snapshot, keys={KEY_ID: key})
    (part,) = claim_of(snapshot).asked
    assert part.scopes[3:] == (ScopeClaim(f"{KEY}@small", own["small"]),)
    assert len(claim_of(snapshot, alias=snapshot.aliases["vectors"]).slots[0].scopes) == 3


def test_the_history_counts_a_call_under_project_key_and_alias(tmp_path: Path) -> None:
    assert claim_of(snapshot_of(tmp_path)).row == UsageRow("site", KEY_ID, "small", 400)


def of_environment(snapshot: Snapshot, env: str, limits: Limits) -> Snapshot:
    """The same with the key in an environment, in which every level has these limits."""
    team = snapshot.teams["web"]
    project = replace(team.projects["site"], env_limits={env: limits})
    team = replace(team, projects={"site": project}, env_limits={env: limits})
    org = replace(snapshot.org, limits=limits, env_limits={env: limits})
    keys = {KEY_ID: replace(snapshot.keys[KEY_ID], env=env)}
    return replace(snapshot, org=org, teams={"web": team}, keys=keys)


def test_environments_are_counted_in_the_slots_of_their_levels(tmp_path: Path) -> None:
    """Each slot is asked once, whatever it counts."""
    limits = Limits(requests_per_minute=5)
    of_team, of_org = claim_of(of_environment(snapshot_of(tmp_path), "staging", limits)).asked
    assert of_team.scopes[3:] == (
        ScopeClaim("project:site#staging", limits),
        ScopeClaim("team#staging", limits),
    )
    assert of_org.slot == Slot("org", "acme")
    assert of_org.scopes == (ScopeClaim("org", limits), ScopeClaim("org#staging", limits))


def test_where_nothing_is_limited_a_call_counts_all_the_same(tmp_path: Path) -> None:
    with_model = (f"{KEY}@small", f"{PROJECT}@small", "team@small")
    assert counted_of(snapshot_of(tmp_path)) == {
        Slot("team", "web"): with_model,
        Slot("org", "acme"): ("org",),
        Slot("alias", "small"): ("alias",),
    }


def test_a_scope_is_either_reserved_in_or_counted(tmp_path: Path) -> None:
    limits = Limits(requests_per_minute=5)
    snapshot = of_environment(snapshot_of(tmp_path, alias="tokens_per_minute: 5"), "prod", limits)
    team = replace(snapshot.teams["web"], model_limits={"small": limits})
    assert counted_of(replace(snapshot, teams={"web": team})) == {
        Slot("team", "web"): (f"{KEY}@small", f"{PROJECT}@small"),
        Slot("org", "acme"): (),
        Slot("alias", "small"): (),
    }
