"""authz_service.balance: which deployments may be asked, and in which order."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz_service.balance import MOST_ATTEMPTS, Attempt, Draw, candidates, in_order
from authz_service.verdicts import Granted, Stored
from tests.unit.authz.company import company
from tollhouse.endpoints import CHAT, EMBEDDINGS, MESSAGES, RESPONSES
from tollhouse.policy.compiled import Alias, Deployment, Limits, Snapshot

MANY = 20_000


def seeded() -> Draw:
    return random.Random(7).random  # noqa: S311 - nothing secret is drawn


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    return company(tmp_path_factory.mktemp("company") / "policies")


def asked(snapshot: Snapshot, alias: str, endpoint: str, stored: str = "") -> list[str]:
    """The candidates as "rank alias provider/model"."""
    about = Stored("resp_1", stored) if stored else None
    key = snapshot.keys["caller"]
    found = candidates(snapshot, Granted(key, snapshot.aliases[alias], endpoint, stored=about))
    return [
        f"{each.rank} {each.alias.name} {each.deployment.provider}/{each.deployment.model}"
        for each in found
    ]


def test_an_alias_asks_its_own_deployments_and_then_each_fallback_after_the_other(
    snapshot: Snapshot,
) -> None:
    assert asked(snapshot, "chat", CHAT) == [
        "1 chat openai/gpt-4o",
        "1 chat azure/gpt-4o",
        "2 chat spare/llama",
        "3 backup spare/backup",
        "5 twofold openai/gpt-4o-mini",
    ]


def test_only_deployments_that_speak_the_dialect_of_the_endpoint_are_asked(
    snapshot: Snapshot,
) -> None:
    assert asked(snapshot, "twofold", CHAT) == ["2 twofold openai/gpt-4o-mini"]
    assert asked(snapshot, "twofold", MESSAGES) == ["1 twofold claude/claude"]


def test_a_fallback_that_does_not_serve_the_endpoint_is_never_asked(snapshot: Snapshot) -> None:
    assert not any("twofold" in each for each in asked(snapshot, "chat", RESPONSES))
    assert any("backup" in each for each in asked(snapshot, "chat", RESPONSES))


@pytest.mark.parametrize(
    "fallback", ["forbidden", "vectors", "limited", "limited-for-key", "limited-for-team"]
)
def test_a_fallback_is_never_asked_that_the_key_may_not_call_or_that_is_counted_apart(
    fallback: str, tmp_path: Path
) -> None:
    snapshot = company(tmp_path / "policies", fallback=fallback)
    assert asked(snapshot, "hopeful", CHAT) == ["1 hopeful openai/gpt-4.1"]


def test_a_fallback_is_asked_that_nothing_stands_against(snapshot: Snapshot) -> None:
    assert asked(snapshot, "hopeful", CHAT)[1:] == ["2 free spare/free"]


@given(data=st.data())
def test_whoever_falls_back_may_call_the_fallback_itself_and_escapes_no_limit(
    snapshot: Snapshot, data: st.DataObject
) -> None:
    key = snapshot.keys[data.draw(st.sampled_from(sorted(snapshot.keys)))]
    names = data.draw(st.lists(st.sampled_from(sorted(snapshot.aliases)), unique=True))
    endpoint = data.draw(st.sampled_from([CHAT, EMBEDDINGS, RESPONSES, MESSAGES]))
    alias = replace(snapshot.aliases["chat"], fallbacks=tuple(names))
    for each in candidates(snapshot, Granted(key, alias, endpoint)):
        if each.alias is not alias:
            assert each.alias.name in key.models
            assert each.alias.serves(endpoint)
            assert each.deployment.serves(endpoint)
            apart = {*key.model_limits, *snapshot.teams[key.team].model_limits}
            assert each.alias.name not in apart
            assert each.alias.limits == Limits()


@pytest.mark.parametrize(
    ("alias", "provider", "only"),
    [
        ("chat", "azure", ["1 chat azure/gpt-4o"]),
        ("chat", "spare", ["2 chat spare/llama"]),
        ("keeper", "azure", ["1 keeper azure/first"]),
    ],
)
def test_a_stored_response_is_asked_for_where_it_is_kept_and_nowhere_else(
    snapshot: Snapshot, alias: str, provider: str, only: list[str]
) -> None:
    assert asked(snapshot, alias, RESPONSES, stored=provider) == only


def attempt(rank: int, weight: int) -> Attempt:
    deployment = Deployment(
        provider="p",
        model="m",
        dialect="openai",
        max_tokens_field="max_tokens",
        stream_usage="requested",
        price=None,
        price_source=None,
        weight=weight,
    )
    alias = Alias(
        name="a",
        deployments=(deployment,),
        description=None,
        endpoints=frozenset({"chat/completions"}),
        limits=Limits(),
        defaults={},
        max_output_tokens=None,
        max_tokens_per_media=1,
        tags=frozenset(),
    )
    return Attempt(alias, deployment, rank)


attempts = st.lists(st.builds(attempt, st.integers(1, 4), st.integers(1, 1000)), max_size=12)
draws = st.floats(0, 1, exclude_max=True)


@given(attempts, st.data())
def test_every_order_has_each_candidate_once_and_no_rank_before_a_lower_one(
    found: list[Attempt], data: st.DataObject
) -> None:
    order = in_order(found, lambda: data.draw(draws))
    assert len(order) == min(len(found), MOST_ATTEMPTS)
    assert len(set(order)) == len(order)
    left = [each.rank for place, each in enumerate(found) if place not in order]
    assert all(found[place].rank <= rank for place in order for rank in left)
    ranks = [found[place].rank for place in order]
    assert ranks == sorted(ranks)


@given(attempts)
def test_without_equals_nothing_is_drawn(found: list[Attempt]) -> None:
    def draw() -> float:
        raise AssertionError("drawn")

    single = [next(group) for _, group in groupby(found, key=lambda each: each.rank)]
    unlike = list({each.rank: each for each in single}.values())
    assert [unlike[place].rank for place in in_order(unlike, draw)] == sorted(
        each.rank for each in unlike
    )


@pytest.mark.parametrize("weights", [(1, 1), (3, 1), (1, 2, 7), (1000, 1)])
def test_over_many_calls_each_is_first_as_often_as_its_weight_says(
    weights: tuple[int, ...],
) -> None:
    found = [attempt(1, weight) for weight in weights] + [attempt(2, 1000)]
    draw = seeded()
    firsts = Counter(in_order(found, draw)[0] for _ in range(MANY))
    for place, weight in enumerate(weights):
        assert firsts[place] / MANY == pytest.approx(weight / sum(weights), abs=0.01)


def test_when_the_first_fails_the_others_are_shared_by_their_weights_again() -> None:
    found = [attempt(1, 4), attempt(1, 3), attempt(1, 1)]
    draw = seeded()
    orders = [in_order(found, draw) for _ in range(MANY)]
    seconds = Counter(order[1] for order in orders if order[0] == 0)
    assert seconds[1] / seconds.total() == pytest.approx(3 / 4, abs=0.02)
