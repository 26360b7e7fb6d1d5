"""A compiled policy survives its way through JSON, to the last price and hash."""

import hashlib
import json
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from tests.support.policy import KEY_ID, SHA256, write_tree
from tests.unit.bundles.builders import policy
from tollhouse.bundles import snapshots
from tollhouse.bundles.sealed import FORMAT
from tollhouse.paths import EXAMPLE_POLICIES
from tollhouse.policy.compiled import Alias, Key, Org, Provider, Snapshot, Team, by_hash
from tollhouse.policy.compiler import load_snapshot

FLOATS = st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.one_of(st.text(), st.integers(), FLOATS, st.booleans())
NAMES = st.text(min_size=1, max_size=8)


@st.composite
def compiled(draw: st.DrawFn) -> Snapshot:
    """Anything that the types allow."""
    key = st.builds(
        Key,
        expires_at=st.none() | FLOATS,
        metadata=st.dictionaries(NAMES, VALUES, max_size=3),
        previous=st.dictionaries(NAMES, FLOATS, max_size=2),
    )
    seconds = dict.fromkeys(
        ("connect_timeout_seconds", "idle_timeout_seconds", "cooldown_seconds"), FLOATS
    )
    keys = draw(st.dictionaries(NAMES, key, max_size=2))
    return Snapshot(
        version=draw(NAMES),
        source=draw(st.text()),
        org=draw(st.builds(Org)),
        providers=draw(st.dictionaries(NAMES, st.builds(Provider, **seconds), max_size=2)),
        aliases=draw(st.dictionaries(NAMES, st.builds(Alias), max_size=2)),
        teams=draw(st.dictionaries(NAMES, st.builds(Team), max_size=1)),
        keys=keys,
        keys_by_hash=by_hash(keys),
    )


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(compiled())
def test_whatever_the_types_allow_comes_back_as_it_was(snapshot: Snapshot) -> None:
    back = snapshots.decode(snapshots.encode(snapshot))
    assert back == snapshot
    # 1 == 1.0 == True: what people wrote is told apart by type.
    kinds = [
        [type(value) for value in key.metadata.values()]
        for key in (*back.keys.values(), *snapshot.keys.values())
    ]
    assert kinds[: len(kinds) // 2] == kinds[len(kinds) // 2 :]


def test_the_example_tree_comes_back_with_its_prices_and_order() -> None:
    snapshot = load_snapshot(EXAMPLE_POLICIES)
    sources = {alias.first.price_source for alias in snapshot.aliases.values()}
    assert sources == {"policy", "genai-prices"}
    back = snapshots.decode(snapshots.encode(snapshot))
    assert back == snapshot
    for alias, again in zip(snapshot.aliases.values(), back.aliases.values(), strict=True):
        # The order of defaults is that in which they are sent.
        assert list(alias.defaults.items()) == list(again.defaults.items())


def test_keys_are_found_by_hash_though_that_is_not_stored(tmp_path: Path) -> None:
    text = snapshots.encode(policy(tmp_path))
    assert text.count(SHA256.encode()) == 1
    back = snapshots.decode(text)
    assert back.keys_by_hash[SHA256] is back.keys[KEY_ID]


def test_what_comes_back_cannot_be_changed(tmp_path: Path) -> None:
    back = snapshots.decode(snapshots.encode(policy(tmp_path)))
    mappings = (back.keys, back.keys_by_hash, back.teams["web"].projects, back.org.env_limits)
    assert {type(each) for each in mappings} == {MappingProxyType}


def test_demo_keys_are_blocked_in_what_is_stored(tmp_path: Path) -> None:
    back = snapshots.decode(snapshots.encode(load_snapshot(EXAMPLE_POLICIES)))
    assert back.keys["marketing-website-prod-1"].blocked_at == "demo"


def test_a_field_that_is_not_known_is_refused_with_its_place_and_not_its_value(
    tmp_path: Path,
) -> None:
    content = json.loads(snapshots.encode(policy(tmp_path)))
    content["keys"][KEY_ID]["colour"] = "secret"
    with pytest.raises(ValueError, match=rf"keys\.{KEY_ID}\.colour: Unexpected") as refused:
        snapshots.decode(json.dumps(content).encode())
    assert "secret" not in str(refused.value)


def test_a_field_that_an_older_tollhouse_did_not_know_takes_its_default(tmp_path: Path) -> None:
    write_tree(tmp_path / "t", org="usage_retention_days: 7\n")
    content = json.loads(snapshots.encode(load_snapshot(tmp_path / "t")))
    assert content["org"].pop("usage_retention_days") == 7
    assert snapshots.decode(json.dumps(content).encode()).org.usage_retention_days == 400


SHAPES = {1: "c016398521b8"}
"""By `FORMAT`: the beginning of the SHA-256 of the JSON Schema of a compiled policy."""


def without_words(schema: Any) -> Any:
    """Without docstrings."""
    if isinstance(schema, list):
        return [without_words(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: without_words(each)
        for name, each in schema.items()
        if not (name == "description" and isinstance(each, str))
    }


def test_the_number_of_the_form_is_raised_when_the_compiled_policy_takes_another_shape() -> None:
    schema = without_words(TypeAdapter(Snapshot).json_schema())
    shape = hashlib.sha256(json.dumps(schema, sort_keys=True).encode()).hexdigest()[:12]
    assert shape == SHAPES[FORMAT], (
        f"the compiled policy has another shape. If a release has gone out with FORMAT {FORMAT}, "
        f"raise it (tollhouse/bundles/sealed.py) and give new fields a default; write {shape} here."
    )
