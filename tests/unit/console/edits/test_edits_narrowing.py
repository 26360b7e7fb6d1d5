"""Whatever is accepted is never wider than what is above it, in policies of all shapes; and what is
refused would have been."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from console.edits.narrowing import Bound, require_limits, require_models
from console.problems import ManageError
from console.shapes.keys import KeyCreate, KeyPatch
from console.shapes.reading import read_fields
from tests.unit.console.edits.builders import LEAD, PLATFORM, Managed
from tests.unit.policy import trees
from tests.unit.policy.reference import Tree
from tollhouse.policy.access import effective_models
from tollhouse.policy.compiled import Key, Limits, ModelRule, Scope, Snapshot
from tollhouse.policy.compiler import load_snapshot
from tollhouse.policy.limit_words import stated

LIMITS = st.fixed_dictionaries(
    {},
    optional={
        "requests_per_minute": st.integers(1, 9),
        "max_parallel_requests": st.integers(1, 9),
        "monthly_spend_usd": st.sampled_from([0, 5, "0.25", 100]),
    },
)
SEEN: Counter[str] = Counter()


@st.composite
def requests(draw: st.DrawFn) -> tuple[Tree, dict[str, Any], dict[str, Any]]:
    """A policy, where in it a key is to be, and what is asked of it."""
    tree = draw(trees.trees().filter(lambda tree: any(team["projects"] for team in tree.teams)))
    pairs = [(team["team"], name) for team in tree.teams for name in team["projects"]]
    team, project = draw(st.sampled_from(pairs))
    environments = [*tree.org["environments"]]
    env = draw(st.sampled_from(environments)) if environments else None
    aliases = st.sampled_from([*tree.models["models"]])
    asked = {
        "allowed_models": st.lists(aliases | st.just("*"), min_size=1, max_size=2),
        "denied_models": st.lists(aliases, max_size=1),
        "limits": LIMITS,
        "model_limits": st.dictionaries(aliases, LIMITS, max_size=1),
    }
    place = {"team": team, "project": project, "env": env, "id": "asked"}
    return tree, place, draw(st.fixed_dictionaries({}, optional=asked))


def scopes_above(snapshot: Snapshot, key: Key) -> Iterator[Scope]:
    """What a key's calls count in above it."""
    for alias in snapshot.aliases.values():
        scopes = snapshot.scopes(key, alias)
        yield from (scope for scope in scopes if scope.level not in ("key", "alias"))


def wider(limits: Limits, above: Limits) -> list[str]:
    bounds = {limit.field: limit.amount for limit in stated(above)}
    return [each.field for each in stated(limits) if each.amount > bounds.get(each.field, 1e30)]


def require_no_wider(snapshot: Snapshot, key: Key) -> None:
    """By the compiled policy alone."""
    own = key.rules[-1]
    above = effective_models(key.rules[:-1])
    granted = any(rule.allowed is not None and not rule.env for rule in key.rules[:-1])
    if own.allowed is not None:
        assert own.allowed - own.denied == key.models, "something was taken away unseen"
        assert not granted or own.allowed <= above
    for scope in scopes_above(snapshot, key):
        assert not wider(key.limits, scope.limits) or scope.model
        for name, limits in key.model_limits.items():
            assert not wider(limits, scope.limits) or scope.model not in (None, name)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(requests(), st.sampled_from([PLATFORM, LEAD]), st.booleans())
def test_what_is_accepted_is_never_wider_than_its_levels(
    request_: tuple[Tree, dict[str, Any], dict[str, Any]], actor: Any, later: bool
) -> None:
    tree, place, asked = request_
    who = type(actor)(actor.id, actor.role, actor.teams and frozenset({place["team"]}), actor.via)
    with tempfile.TemporaryDirectory() as folder:
        managed = Managed(trees.write(Path(folder), trees.files(tree)))
        bare = {**place} if later else {**place, **asked}
        try:
            managed.keys.create(who, read_fields(KeyCreate, bare))
            if later:
                managed.keys.patch(who, "asked", read_fields(KeyPatch, asked))
        except ManageError as error:
            SEEN[error.code] += 1
            assert error.code in ("exceeds_level", "invalid_request", "policy_refused")
            if error.code == "exceeds_level" and actor is PLATFORM:
                assert error.details["level"] in ("org", "team", "project")
            return
        SEEN["accepted"] += 1
        snapshot = load_snapshot(managed.directory)
        key = snapshot.keys["asked"]
        require_no_wider(snapshot, key)
        if actor.role == "team-lead":
            assert key.models <= effective_models(key.rules[:-1])


def test_the_policies_above_were_accepted_and_refused() -> None:
    print(dict(SEEN))
    assert min(SEEN["accepted"], SEEN["exceeds_level"]) >= 5


ALIASES = st.frozensets(st.sampled_from("abcde"))
AMOUNTS = st.none() | st.integers(1, 5)
BOUNDS = st.lists(
    st.builds(
        Bound,
        rule=st.builds(
            ModelRule,
            level=st.sampled_from(["org", "team", "project"]),
            name=st.just("x"),
            allowed=st.none() | ALIASES,
            denied=ALIASES,
            env=st.none() | st.just("prod"),
        ),
        limits=st.builds(
            Limits,
            requests_per_minute=AMOUNTS,
            monthly_spend_nanousd=AMOUNTS,
            tokens_per_day=AMOUNTS,
        ),
    ),
    max_size=4,
)


@given(BOUNDS, st.dictionaries(st.text("ab", min_size=1), ALIASES, max_size=3))
def test_a_list_is_refused_exactly_when_a_level_lets_something_of_it_not_pass(
    bounds: list[Bound], asked: dict[str, frozenset[str]]
) -> None:
    wanted = frozenset[str]().union(*asked.values())
    fits = all(bound.rule.permits(alias) for bound in bounds for alias in wanted)
    try:
        require_models(bounds, asked, "allowed_models")
    except ManageError as error:
        assert not fits
        assert set(error.details["models"]) <= wanted
        assert error.details["level"] in {bound.rule.level for bound in bounds}
    else:
        assert fits


@given(
    BOUNDS,
    st.builds(
        Limits, requests_per_minute=AMOUNTS, monthly_spend_nanousd=AMOUNTS, tokens_per_day=AMOUNTS
    ),
)
def test_limits_are_refused_exactly_when_a_level_has_less(
    bounds: list[Bound], asked: Limits
) -> None:
    def amount(limits: Limits, name: str) -> float:
        found = getattr(limits, name)
        return float("inf") if found is None else float(found)

    names = [each.name for each in fields(Limits) if each.name != "budget_mode"]
    fits = all(
        getattr(asked, name) is None or amount(asked, name) <= amount(bound.limits, name)
        for bound in bounds
        for name in names
    )
    try:
        require_limits(bounds, asked, "limits")
    except ManageError as error:
        assert not fits
        assert error.details["asked"] > error.details["limit"]
    else:
        assert fits
