"""Selectors, and the rule that a level narrows its parent and deny beats allow."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollhouse.policy.access import effective_models
from tollhouse.policy.compiled import ModelRule
from tollhouse.policy.selectors import Selectors, UnknownSelector

ALIASES = st.frozensets(st.sampled_from(["a", "b", "c", "d", "e"]))
RULES = st.tuples(
    *(
        st.builds(
            ModelRule,
            level=st.just(level),
            name=st.just("x"),
            allowed=st.none() | ALIASES,
            denied=ALIASES,
        )
        for level in ("team", "project", "key")
    )
)


@given(RULES)
def test_what_is_effective_is_allowed_by_every_level_that_speaks(rules: tuple[ModelRule, ...]):
    effective = effective_models(rules)
    assert all(effective <= rule.allowed for rule in rules if rule.allowed is not None)


@given(RULES)
def test_what_any_level_denies_is_not_effective(rules: tuple[ModelRule, ...]):
    effective = effective_models(rules)
    assert not any(effective & rule.denied for rule in rules)


@given(RULES)
def test_what_every_rule_permits_is_effective_once_one_level_allows(rules: tuple[ModelRule, ...]):
    speaking = any(rule.allowed is not None for rule in rules)
    expected = {alias for alias in "abcde" if all(rule.permits(alias) for rule in rules)}
    assert effective_models(rules) == (expected if speaking else set())


@given(RULES, ALIASES)
def test_a_further_level_never_widens(rules: tuple[ModelRule, ...], allowed: frozenset[str]):
    before = effective_models(rules)
    stated = [rule for rule in rules if rule.allowed is not None]
    further = ModelRule(level="key", name="y", allowed=allowed, denied=frozenset())
    if stated:
        assert effective_models((*rules, further)) <= before


SELECTORS = Selectors(
    {"gpt4_mini": ["cheap"], "gpt4_max": [], "emb": ["cheap", "eu"], "vendor/m:1": []}
)


@pytest.mark.parametrize(
    ("entry", "aliases"),
    [
        ("gpt4_mini", {"gpt4_mini"}),
        ("vendor/m:1", {"vendor/m:1"}),
        ("tag:cheap", {"gpt4_mini", "emb"}),
        ("gpt4_*", {"gpt4_mini", "gpt4_max"}),
        ("gpt4_m?x", {"gpt4_max"}),
        ("[eg]*", {"gpt4_mini", "gpt4_max", "emb"}),
        ("*", {"gpt4_mini", "gpt4_max", "emb", "vendor/m:1"}),
    ],
)
def test_an_entry_selects_by_name_tag_or_pattern(entry: str, aliases: set[str]):
    assert SELECTORS.select(entry) == aliases


@pytest.mark.parametrize("entry", ["gpt4", "tag:chea", "tag:", "GPT4_*", "", "cheap"])
def test_an_entry_that_selects_nothing_is_an_error(entry: str):
    with pytest.raises(UnknownSelector):
        SELECTORS.select(entry)
