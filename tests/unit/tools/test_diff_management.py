"""`tollhouse diff` says who may manage more or less than before."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.policy import SHA256, write_tree
from tests.unit.tools.running import tollhouse
from tests.unit.tools.test_diff import FILES, ORG

OPS = f"  - {{id: ops, sha256: {SHA256[::-1]}, role: viewer}}\n"
NONE = "tokens: []\n"
ONE = f"tokens:\n{OPS}"
SSO = """\
sso:
  issuer: https://login.acme.test/
  audiences: [tollhouse]
  jwks: https://login.acme.test/keys
  roles:
    - {claim: groups, value: leads, role: team-lead, teams: [web]}
    - {claim: groups, value: audit, role: auditor}
"""
CASES: list[tuple[str | None, str | None, list[tuple[str, str]]]] = [
    (None, NONE, [("wider", "management over API and console is on")]),
    (NONE, None, [("narrower", "management over API and console is off")]),
    (NONE, ONE, [("wider", "new token ops: viewer, never expires")]),
    (ONE, NONE, [("narrower", "the token ops (viewer) is no longer accepted")]),
    (
        ONE,
        ONE.replace("viewer", "admin"),
        [("wider", "the token ops is admin instead of viewer")],
    ),
    (
        ONE,
        ONE.replace("viewer", "viewer, teams: [web]"),
        [("narrower", "the token ops is viewer of web instead of viewer")],
    ),
    (
        ONE,
        ONE.replace("viewer", "viewer, expires: 2030-01-01"),
        [
            (
                "narrower",
                "the token ops expires 2030-01-02 00:00:00 UTC instead of never expires",
            )
        ],
    ),
    (
        ONE,
        ONE.replace(SHA256[::-1], "ab" * 32),
        [("other", "the token ops is another: the one before is refused")],
    ),
    (
        NONE,
        SSO,
        [
            ("wider", "single sign-on by https://login.acme.test/ is on"),
            ("wider", "whoever has groups audit may: auditor"),
            ("wider", "whoever has groups leads may: team-lead of web"),
        ],
    ),
    (
        SSO,
        SSO.replace("role: auditor", "role: admin"),
        [
            ("narrower", "whoever has groups audit may no longer: auditor"),
            ("wider", "whoever has groups audit may: admin"),
        ],
    ),
    (
        SSO,
        SSO.replace("acme.test/keys", "acme.test/others"),
        [
            (
                "other",
                "single sign-on: jwks is https://login.acme.test/others instead of"
                " https://login.acme.test/keys",
            )
        ],
    ),
    (NONE, "alerts: {webhook: 'file:/h'}\n", [("other", "alerts are on")]),
    (
        "alerts: {webhook: 'file:/h'}\n",
        "alerts: {webhook: 'file:/h', budget_percent: [90]}\n",
        [("other", "alerts: budget_percent is (90,) instead of (50, 80, 100)")],
    ),
]


@pytest.mark.parametrize(("old", "new", "said"), CASES, ids=[case[2][0][1] for case in CASES])
def test_what_changes_for_managers_is_said(
    old: str | None, new: str | None, said: list[tuple[str, str]], tmp_path: Path
) -> None:
    trees = [
        write_tree(tmp_path / name, **FILES, management=text)
        for name, text in (("old", old), ("new", new))
    ]
    shown = tollhouse("diff", *trees, "--format", "json").data["changes"]
    assert sorted((one["direction"], one["text"]) for one in shown) == sorted(said)
    assert {one["group"] for one in shown} == {"management"}


def test_management_comes_before_all_else(tmp_path: Path) -> None:
    zone = ORG + "time_zone: Europe/Berlin\n"
    old = write_tree(tmp_path / "old", **FILES)
    new = write_tree(tmp_path / "new", **{**FILES, "org": zone, "management": ONE})
    shown = tollhouse("diff", old, new).out
    assert 0 < shown.index("\nmanagement\n") < shown.index("\neveryone\n")
