"""Whatever words people use, the policy then says those, and it is still a policy."""

from __future__ import annotations

import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from console.problems import ManageError
from console.shapes.keys import KeyCreate, KeyPatch
from console.shapes.reading import read_fields
from tests.support.policy import write_tree
from tests.unit.console.edits.builders import MODELS, PLATFORM, WEB, Managed
from tollhouse.policy.compiler import load_snapshot

NAMES = st.sampled_from(["no", "1", "null", "0x1F", "1e5", "on", "2027-01-01", "~a", "a.b", "Yes"])
NAME = NAMES | st.text("abN01._-", min_size=1, max_size=6)
TEXT = st.text(max_size=12) | NAMES | st.sampled_from(["a: b", " # c", "- x", "*", "&a", "%", "\\"])
VALUES = (
    TEXT
    | st.booleans()
    | st.integers(-(10**6), 10**6)
    | st.sampled_from([Decimal("0.1"), Decimal("1E+3"), Decimal("-2.50"), Decimal("0.000000001")])
)
METADATA = st.dictionaries(NAME, VALUES, max_size=4)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(NAME, NAME, METADATA, METADATA)
def test_what_is_asked_is_what_the_policy_says(
    team: str, project: str, first: dict[str, Any], then: dict[str, Any]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        directory = write_tree(Path(folder), org="org: acme", models=MODELS, teams__web=WEB)
        managed = Managed(directory)
        asked = {"team": team, "project": project, "id": "asked"}
        expected: dict[str, Any] = {}
        try:
            managed.keys.create(PLATFORM, read_fields(KeyCreate, {**asked, "metadata": first}))
            expected |= first
            managed.keys.patch(PLATFORM, "asked", read_fields(KeyPatch, {"metadata": then}))
            expected |= then
        except ManageError as error:
            assert (error.code, error.status) == ("invalid_request", 400)
        snapshot = load_snapshot(directory)
        if expected:
            key = snapshot.keys["asked"]
            assert (key.team, key.project) == (team, project)
            assert dict(key.metadata) == {
                name: value.strip() if isinstance(value, str) else _number(value)
                for name, value in expected.items()
            }
        kept = [line.partition("#")[2] for line in WEB.splitlines()]
        assert [line.partition("#")[2] for line in managed.text("teams/web.yaml").splitlines()][
            : len(kept)
        ] == kept


def _number(value: Any) -> Any:
    return float(value) if isinstance(value, Decimal) else value
