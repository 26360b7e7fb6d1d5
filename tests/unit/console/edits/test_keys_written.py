"""Keys over the API are lines of the policy: those that were asked for, and no others."""

from __future__ import annotations

import difflib
from datetime import timedelta
from typing import Any

import pytest

from console.audit.redact import Redaction
from console.shapes.keys import KeyBlock, KeyCreate, KeyCreated, KeyPatch, KeyRotate
from console.shapes.levels import ProjectPatch
from console.shapes.reading import read_fields
from tests.unit.console.edits.builders import ADMIN, LEAD, NOW, PLATFORM, WEB, Managed
from tollhouse.keyring import actions
from tollhouse.keys import looks_valid, sha256_hex
from tollhouse.policy.compiler import load_snapshot

WEB_FILE = "teams/web.yaml"


def create(**fields: Any) -> KeyCreate:
    return read_fields(KeyCreate, {"team": "web", "project": "site", "env": "prod", **fields})


def patch(**fields: Any) -> KeyPatch:
    return read_fields(KeyPatch, fields)


def changed(before: str, after: str) -> list[str]:
    """The lines that a diff shows, `-` or `+` before each."""
    lines = difflib.ndiff(before.splitlines(keepends=True), after.splitlines(keepends=True))
    return [line for line in lines if line[0] in "-+"]


def test_a_new_key_is_below_the_others_of_its_project_and_works(managed: Managed) -> None:
    made = managed.keys.create(
        PLATFORM,
        create(
            allowed_models=["small"],
            metadata={"owner": "bo", "env": "prod", "max_cost_per_month": 20},
            limits={"requests_per_minute": 60},
            model_limits={"small": {"requests_per_day": 5}},
            expires="30d",
        ),
    )
    assert looks_valid(made.api_key)
    assert (made.id, made.env, made.state) == (named("web-site-prod", made), "prod", "active")
    assert made.expires == "2026-12-28T12:00:00Z"
    assert changed(WEB, managed.text(WEB_FILE)) == [
        f"+       - id: {made.id}\n",
        f"+         sha256: {sha256_hex(made.api_key)}\n",
        "+         env: prod\n",
        "+         expires: 2026-12-28T12:00:00Z\n",
        "+         allowed_models: [small]\n",
        "+         limits: {requests_per_minute: 60, monthly_spend_usd: 20}\n",
        "+         model_limits:\n",
        "+           small: {requests_per_day: 5}\n",
        "+         metadata: {owner: bo}\n",
    ]
    key = load_snapshot(managed.directory).keys_by_hash[sha256_hex(made.api_key)]
    assert (key.id, key.models) == (made.id, {"small"})


def named(stem: str, made: KeyCreated) -> str:
    return f"{stem}-{sha256_hex(made.api_key)[:6]}"


def test_the_id_of_a_key_that_was_deleted_is_not_made_again(managed: Managed) -> None:
    """The ledger still counts under it what that key has spent."""
    first = managed.keys.create(PLATFORM, create())
    managed.keys.delete(PLATFORM, first.id)
    second = managed.keys.create(PLATFORM, create())
    assert first.id == named("web-site-prod", first)
    assert second.id == named("web-site-prod", second) != first.id


def test_team_and_project_are_made_with_the_key_and_its_own_list_grants(managed: Managed) -> None:
    made = managed.keys.create(PLATFORM, create(team="new", project="p", allowed_models=["large"]))
    assert managed.text("teams/new.yaml") == (
        f"team: new\nprojects:\n  p:\n    keys:\n      - id: {named('new-p-prod', made)}\n"
        f"        sha256: {sha256_hex(made.api_key)}\n        env: prod\n"
        "        allowed_models: [large]\n"
    )
    assert made.models == ["large"]
    assert made.warnings == [
        "the team 'new' was made: it has no budget and no owner of its own",
        "the project 'p' was made: it has no budget of its own",
        "no level above this key says which models are allowed: its own list grants them, and"
        " other keys of the project have none of it",
    ]
    second = managed.keys.create(PLATFORM, create(team="new", project="p"))
    assert (second.models, len(second.warnings)) == ([], 1)


def test_a_new_team_s_file_names_its_schema_where_there_is_one(managed: Managed) -> None:
    (managed.directory / "schema").mkdir()
    (managed.directory / "schema/team.json").write_text("{}")
    managed.keys.create(PLATFORM, create(team="new", project="p"))
    first = managed.text("teams/new.yaml").partition("\n")[0]
    assert first == "# yaml-language-server: $schema=../schema/team.json"


def test_a_new_project_goes_below_those_of_its_team(managed: Managed) -> None:
    made = managed.keys.create(PLATFORM, create(project="app"))
    assert changed(WEB, managed.text(WEB_FILE)) == [
        "+   app:\n",
        "+     keys:\n",
        f"+       - id: {made.id}\n",
        f"+         sha256: {sha256_hex(made.api_key)}\n",
        "+         env: prod\n",
    ]


@pytest.mark.parametrize(
    ("asked", "diff"),
    [
        (
            {"limits": {"requests_per_minute": 5}},
            ["+         limits: {requests_per_minute: 5}\n"],
        ),
        (
            {"metadata": {"cost_center": 4711, "owner": None}},
            [
                "-         metadata: {owner: ann}   # who to ask\n",
                "+         metadata: {cost_center: 4711}   # who to ask\n",
            ],
        ),
        ({"metadata": None}, ["-         metadata: {owner: ann}   # who to ask\n"]),
        (
            {"allowed_models": ["small"], "denied_models": ["large"]},
            ["+         allowed_models: [small]\n", "+         denied_models: [large]\n"],
        ),
        ({"env": "staging"}, ["-         env: prod\n", "+         env: staging\n"]),
        ({"metadata": {"env": "staging"}}, ["-         env: prod\n", "+         env: staging\n"]),
        ({"expires": "2027-01-01"}, ["+         expires: 2027-01-01\n"]),
        (
            {"metadata": {"max_cost_per_month": "0.000000001"}},
            ["+         limits: {monthly_spend_usd: 0.000000001}\n"],
        ),
        ({}, []),
    ],
)
def test_a_patch_changes_the_lines_that_it_is_about(
    managed: Managed, asked: dict[str, Any], diff: list[str]
) -> None:
    before = managed.keys.get(PLATFORM, "web-1")
    view = managed.keys.patch(PLATFORM, "web-1", patch(**asked), f'"{before.etag}"')
    assert sorted(changed(WEB, managed.text(WEB_FILE))) == sorted(diff)
    assert (view.etag == before.etag) is (not diff)
    assert view == managed.keys.get(PLATFORM, "web-1")
    assert len(managed.planned) == bool(diff)


def test_limits_are_merged_in_place_and_the_last_takes_its_line_along(managed: Managed) -> None:
    for limits, line in [
        ({"requests_per_minute": 5, "daily_spend_usd": "2.50"}, "5, daily_spend_usd: 2.50}\n"),
        ({"requests_per_minute": 7, "tokens_per_day": 9}, "7, daily_spend_usd: 2.50, tokens_per_d"),
        ({"daily_spend_usd": None, "tokens_per_day": None}, "7}\n"),
    ]:
        managed.keys.patch(PLATFORM, "web-1", patch(limits=limits))
        assert f"        limits: {{requests_per_minute: {line}" in managed.text(WEB_FILE)
    managed.keys.patch(PLATFORM, "web-1", patch(limits={"requests_per_minute": None}))
    assert managed.text(WEB_FILE) == WEB


def test_lists_in_a_block_lose_and_gain_items_and_keep_comments(managed: Managed) -> None:
    text = WEB.replace("[small, large]   # not llama", "\n      - small   # cheap\n      - large")
    (managed.directory / WEB_FILE).write_text(text)
    asked = ProjectPatch(allowed_models=["meta/llama:3", "small"])
    managed.projects.patch(PLATFORM, "web", "site", asked)
    assert changed(text, managed.text(WEB_FILE)) == [
        "-       - large\n",
        '+       - "meta/llama:3"\n',
    ]


def test_a_key_is_found_by_its_string_and_by_those_before_it(managed: Managed) -> None:
    made = managed.keys.create(PLATFORM, create())
    rotated = managed.keys.rotate(LEAD, made.api_key, KeyRotate(overlap="7d"))
    assert rotated.previous == ["2026-12-05T12:00:00Z"]
    for ref in (made.id, made.api_key, rotated.api_key):
        assert managed.keys.get(LEAD, ref).id == made.id
    last = managed.keys.rotate(LEAD, made.api_key, KeyRotate(overlap="0"))
    assert last.previous == ["2026-12-05T12:00:00Z"]
    snapshot = load_snapshot(managed.directory)
    assert set(snapshot.keys_by_hash) >= {sha256_hex(made.api_key), sha256_hex(last.api_key)}
    assert sha256_hex(rotated.api_key) not in snapshot.keys_by_hash


def test_rotations_forget_keys_whose_time_has_passed(managed: Managed) -> None:
    past, future = NOW - timedelta(seconds=1), NOW + timedelta(days=1)
    old = (
        f"        previous:\n          - sha256: {'a4' * 32}\n"
        f"            valid_until: {past:%Y-%m-%dT%H:%M:%SZ}\n"
        f"          - sha256: {'a5' * 32}   # x\n"
        f"            valid_until: {future:%Y-%m-%dT%H:%M:%SZ}\n"
    )
    text = WEB.replace("        metadata: {owner: ann}", old + "        metadata: {owner: ann}")
    (managed.directory / WEB_FILE).write_text(text)
    managed.keys.rotate(PLATFORM, "web-1", KeyRotate(overlap="2d"))
    left = managed.text(WEB_FILE)
    assert "a4" * 32 not in left
    assert f"sha256: {'a5' * 32}   # x\n" in left
    assert f"sha256: {'a1' * 32}\n            valid_until: 2026-11-30T12:00:00Z\n" in left


def test_blocking_says_why_and_who_and_unblocking_leaves_no_trace(managed: Managed) -> None:
    view = managed.keys.block(LEAD, "web-1", KeyBlock(reason="leaked"))
    assert (view.state, view.blocked_at, view.blocked_reason, view.blocked_by) == (
        "blocked",
        "key",
        "leaked",
        "sso:lee@example.com",
    )
    assert "blocked: true" in managed.text(WEB_FILE)
    assert managed.keys.unblock(LEAD, "web-1").state == "active"
    assert managed.text(WEB_FILE) == WEB
    managed.keys.block(LEAD, "web-1", KeyBlock())
    actions.unblock(managed.directory, "web-1")
    assert managed.text(WEB_FILE) == WEB


def test_a_deleted_key_is_gone_with_its_lines_and_no_others(managed: Managed) -> None:
    assert managed.keys.delete(ADMIN, "web-1").id == "web-1"
    assert changed(WEB, managed.text(WEB_FILE)) == [
        "-       - id: web-1\n",
        f"-         sha256: {'a1' * 32}\n",
        "-         env: prod\n",
        "-         metadata: {owner: ann}   # who to ask\n",
    ]


def test_what_is_planned_has_before_and_after_and_the_audit_log_hides_their_hashes(
    managed: Managed,
) -> None:
    managed.keys.rotate(PLATFORM, "web-1", KeyRotate())
    (planned,) = managed.planned
    change = planned.change
    assert (change.action, change.target, change.team) == ("key.rotate", "web-1", "web")
    assert change.before == {
        "id": "web-1",
        "sha256": "a1" * 32,
        "env": "prod",
        "metadata": {"owner": "ann"},
    }
    assert change.after is not None
    assert change.after["previous"][0]["sha256"] == "a1" * 32
    shown = Redaction().value({"before": change.before, "after": change.after})
    assert shown["before"]["sha256"] == "sha256:a1a1…#1"
    assert shown["after"]["previous"][0]["sha256"] == "sha256:a1a1…#1"
    assert shown["after"]["sha256"].endswith("…#2")
    assert planned.old.snapshot.version != planned.new.snapshot.version
    assert list(planned.rewrites) == [WEB_FILE]


def test_keys_of_one_project_in_a_file_under_keys_stay_there(managed: Managed) -> None:
    text = WEB.partition("    keys:\n")[0]
    (managed.directory / WEB_FILE).write_text(text)
    (managed.directory / "keys").mkdir()
    for name, number in (("a", 4), ("b", 5)):
        (managed.directory / f"keys/{name}.yaml").write_text(
            f"team: web\nproject: site\nkeys:\n  - {{id: {name}, sha256: {f'a{number}' * 32},"
            " env: prod}\n"
        )
    # Two files have some: the team's own is nobody else's.
    made = managed.keys.create(PLATFORM, create())
    assert made.where.startswith("teams/web.yaml:")
    managed.keys.delete(PLATFORM, made.id)
    (managed.directory / "keys/b.yaml").unlink()
    assert managed.keys.create(PLATFORM, create()).where == "keys/a.yaml:5"
    assert managed.keys.get(PLATFORM, "a").where == "keys/a.yaml:4"
