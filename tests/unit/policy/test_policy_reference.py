"""Compiling keeps the meaning: a loaded tree decides as the words of policies/README.md do."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from decimal import Decimal
from pathlib import Path

import yaml
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from authz_service.balance import candidates
from authz_service.decision import decide
from authz_service.verdicts import Call, Granted, Refused
from tests.unit.policy import reference, trees
from tests.unit.policy.reference import Data, Tree, Verdict
from tollhouse.policy.compiled import Limits, Snapshot
from tollhouse.policy.compiler import PolicyLoader, load_snapshot
from tollhouse.policy.problems import PolicyError, PolicyProblem

ENDPOINTS = ("chat/completions", "embeddings", "messages", "files", "batches")
SLOW = settings(
    deadline=None,
    max_examples=80,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@contextmanager
def directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def decided(snapshot: Snapshot, api_key: str, alias: str, endpoint: str, now: float) -> Verdict:
    """What the compiled policy says, in the reference's words."""
    call = Call("POST", f"/v1/{endpoint}", api_key, endpoint=endpoint, model=alias)
    decision = decide(snapshot, call, now)
    if not isinstance(decision, Granted):
        assert isinstance(decision, Refused)
        return Verdict(decision.code, decision.key and decision.key.id)
    key = decision.key
    rule = key.would_deny(decision.alias.name)
    scopes = snapshot.scopes(key, decision.alias)
    return Verdict(
        "allowed",
        key.id,
        decision.is_previous,
        rule and (rule.level, rule.env),
        {(s.level, s.name, s.model, s.env): s.limits for s in scopes if s.limits != Limits()},
        tuple(dict.fromkeys(each.alias.name for each in candidates(snapshot, decision))),
    )


def expected(tree: Tree, api_key: str, alias: str, endpoint: str, now: float) -> Verdict:
    said = reference.verdict(tree, api_key, alias, endpoint, now)
    limits = {where: compiled(limits) for where, limits in said.limits.items()}
    counted = {where: each for where, each in limits.items() if each != Limits()}
    return replace(said, limits=counted)


def compiled(limits: Data) -> Limits:
    """Field by field: only the unit of money differs, and a mode without a budget means nothing."""
    fields = {}
    for name, value in limits.items():
        spend = name.endswith("_usd")
        field = name.replace("_usd", "_nanousd")
        fields[field] = int(Decimal(str(value)) * 10**9) if spend else value
    if not any(name.endswith("_nanousd") for name in fields):
        fields.pop("budget_mode", None)
    return Limits(**fields)


def secrets(tree: Tree) -> list[str]:
    """Every key there is, and one that nobody knows."""
    return [trees.secret(number) for number in range(1 + str(asdict(tree)).count("sha256"))]


@settings(SLOW, max_examples=100)
@given(tree=trees.trees(), moments=st.lists(trees.moments, min_size=2, max_size=2))
def test_a_loaded_policy_decides_as_the_words_of_its_manual_do(tree: Tree, moments: list[float]):
    with directory() as path:
        snapshot = load_snapshot(trees.write(path, trees.files(tree)))
    for api_key in secrets(tree):
        for alias in (*trees.ALIASES, "unknown"):
            for endpoint in ENDPOINTS:
                for now in moments:
                    call = (api_key, alias, endpoint, now)
                    said = expected(tree, *call)
                    event(said.code)
                    assert decided(snapshot, *call) == said, call


def outcome(loader: PolicyLoader, path: Path) -> Snapshot | tuple[PolicyProblem, ...]:
    try:
        return loader.load(path)
    except PolicyError as error:
        return error.problems


@SLOW
@given(data=st.data(), tree=trees.trees())
def test_a_reload_finds_what_a_first_load_of_the_same_files_would(data: st.DataObject, tree: Tree):
    with directory() as path:
        loader = PolicyLoader()
        for _ in range(4):
            trees.write(path, trees.files(tree))
            assert outcome(loader, path) == outcome(PolicyLoader(), path)
            tree = data.draw(st.one_of(trees.edited(tree), trees.edited(tree), st.just(tree)))


VALUES: st.SearchStrategy[object] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.dates()),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(st.text(), inner)),
    max_leaves=4,
)


def mutated(draw: st.DrawFn, value: object) -> object:
    """The same data with something else somewhere in it."""
    if isinstance(value, dict) and value and draw(st.integers(0, 4)):
        name = draw(st.sampled_from(sorted(value, key=str)))
        changed = {**value, name: mutated(draw, value[name])}
        return {k: v for k, v in changed.items() if k != name or draw(st.integers(0, 9))}
    if isinstance(value, list) and value and draw(st.integers(0, 4)):
        index = draw(st.integers(0, len(value) - 1))
        return [*value[:index], mutated(draw, value[index]), *value[index + draw(st.booleans()) :]]
    return draw(VALUES)


@st.composite
def broken(draw: st.DrawFn) -> dict[str, str]:
    """Files of which one has other data, or other characters, than it should."""
    tree = draw(trees.trees())
    texts = trees.files(tree)
    name = draw(st.sampled_from(sorted(texts)))
    if draw(st.booleans()):
        data = yaml.safe_load(texts[name])
        return {**texts, name: trees.text_of(mutated(draw, data))}
    start = draw(st.integers(0, len(texts[name])))
    cut = texts[name][start + draw(st.integers(0, 5)) :]
    return {**texts, name: texts[name][:start] + draw(st.text(max_size=4)) + cut}


@SLOW
@given(texts=broken())
def test_what_is_refused_is_refused_with_problems_that_name_a_place_in_a_file(
    texts: dict[str, str],
):
    with directory() as path:
        trees.write(path, texts)
        try:
            load_snapshot(path)
        except PolicyError as error:
            assert error.problems
            for problem in error.problems:
                assert problem.file in texts
                assert 1 <= problem.line <= texts[problem.file].count("\n") + 1
                assert problem.column >= 1
        else:
            event("still good")
