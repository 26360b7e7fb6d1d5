"""Environments, groups, files of keys, rules in shadow, and keys that were rotated."""

from pathlib import Path

import pytest

from tests.support.policy import KEY_ID, SHA256, team, write_tree
from tollhouse.policy.compiled import Key, Limits, Snapshot
from tollhouse.policy.compiler import load_snapshot
from tollhouse.policy.problems import PolicyError

MODELS = """\
models:
  small: {provider: openai, model: gpt-4o-mini, tags: [cheap]}
  large: {provider: openai, model: gpt-4o}
  vectors: {provider: openai, model: text-embedding-3-small, endpoints: [embeddings], tags: [cheap]}
groups:
  chat: [small, "la*"]
"""
TWO = "org: acme\nenvironments: {prod: {}, staging: {}}\n"
OTHER = "0" * 64


def snapshot_of(directory: Path, **overrides: str) -> Snapshot:
    return load_snapshot(write_tree(directory, **{"models": MODELS, **overrides}))


def key_of(directory: Path, **overrides: str) -> Key:
    return snapshot_of(directory, **overrides).keys[KEY_ID]


def problem_of(directory: Path, **overrides: str) -> str:
    with pytest.raises(PolicyError) as caught:
        snapshot_of(directory, **overrides)
    return str(caught.value)


@pytest.mark.parametrize(
    "place",
    [
        {"org": "org: acme\nenvironments: {staging: {denied_models: [large]}, prod: {}}\n"},
        {"team_lines": "environments: {staging: {denied_models: [large]}}"},
        {"project_lines": "environments: {staging: {denied_models: [large]}}"},
        {"team_lines": "environments: {staging: {allowed_models: ['tag:cheap']}}"},
    ],
)
def test_an_environment_narrows_keys_that_are_in_it_and_no_others(
    tmp_path: Path, place: dict[str, str]
):
    org = {"org": place.get("org", TWO)}
    lines = {name: text for name, text in place.items() if name != "org"}
    models = "allowed_models: ['group:chat']"
    for env, allowed in (("staging", {"small"}), ("prod", {"small", "large"})):
        text = team(f"env: {env}", **lines).replace("allowed_models: [small]", models)
        assert key_of(tmp_path / env, teams__web=text, **org).models == allowed


def test_an_environment_alone_allows_nothing(tmp_path: Path):
    org = "org: acme\nenvironments: {prod: {allowed_models: ['*']}}\n"
    text = team("env: prod").replace("    allowed_models: [small]\n", "")
    assert key_of(tmp_path, org=org, teams__web=text).models == frozenset()


@pytest.mark.parametrize(("env", "blocked_at"), [("staging", "environment"), ("prod", None)])
def test_a_blocked_environment_blocks_its_keys(tmp_path: Path, env: str, blocked_at: str | None):
    text = team(f"env: {env}", team_lines="environments: {staging: {blocked: true}}")
    assert key_of(tmp_path, org=TWO, teams__web=text).blocked_at == blocked_at


def test_limits_of_an_environment_are_scopes_of_their_own_beside_their_level(tmp_path: Path):
    org = "org: acme\nenvironments: {prod: {}, staging: {limits: {requests_per_day: 9}}}\n"
    text = team(
        "env: staging",
        team_lines="environments: {staging: {limits: {requests_per_minute: 7}}}",
        project_lines="environments: {staging: {limits: {tokens_per_minute: 8}}, prod: {}}",
    )
    snapshot = snapshot_of(tmp_path, org=org, teams__web=text)
    scopes = snapshot.scopes(snapshot.keys[KEY_ID], snapshot.aliases["small"])
    assert [(scope.level, scope.env, scope.limits) for scope in scopes if scope.env] == [
        ("project", "staging", Limits(tokens_per_minute=8)),
        ("team", "staging", Limits(requests_per_minute=7)),
        ("org", "staging", Limits(requests_per_day=9)),
    ]


def test_where_environments_are_named_every_key_is_in_one_of_them(tmp_path: Path):
    assert problem_of(tmp_path, org=TWO) == (
        "teams/web.yaml:6:9: the field 'env' is missing: one of prod, staging"
    )
    text = team("env: stagin")
    assert problem_of(tmp_path, org=TWO, teams__web=text) == (
        "teams/web.yaml:8:14: unknown environment 'stagin': did you mean 'staging'?"
    )


def test_an_environment_that_the_org_does_not_name_is_refused(tmp_path: Path):
    text = team(team_lines="environments: {staging: {}}")
    assert problem_of(tmp_path, teams__web=text) == (
        "teams/web.yaml:2:16: unknown environment 'staging': org.yaml has to name it under "
        "'environments'"
    )


def test_without_named_environments_env_is_a_word_for_logs(tmp_path: Path):
    assert key_of(tmp_path, teams__web=team("env: whatever")).env == "whatever"


def test_a_group_stands_for_its_members_by_name_tag_and_pattern(tmp_path: Path):
    models = MODELS + '  cheap: ["tag:cheap"]\n'
    text = team().replace("[small]", "['group:chat', 'group:cheap']")
    found = key_of(tmp_path, models=models, teams__web=text)
    assert found.models == {"small", "large", "vectors"}


@pytest.mark.parametrize(
    ("models", "allowed", "problem"),
    [
        (
            MODELS,
            "group:chta",
            "teams/web.yaml:4:22: unknown group 'chta': did you mean 'chat'?",
        ),
        (
            MODELS + "  bad: [smal]\n",
            "small",
            "models.yaml:7:9: unknown model 'smal': did you mean 'small'?",
        ),
        (
            MODELS + "  more: ['group:chat']\n",
            "small",
            "models.yaml:7:10: unknown group 'chat'",
        ),
        (MODELS + "  none: []\n", "small", "models.yaml:7:9: 'none' is empty: write at least one"),
    ],
)
def test_a_group_that_is_unknown_or_holds_what_is_unknown_is_refused(
    tmp_path: Path, models: str, allowed: str, problem: str
):
    text = team().replace("[small]", f"['{allowed}']")
    assert problem_of(tmp_path, models=models, teams__web=text) == problem


def test_a_key_of_a_file_of_keys_lives_in_its_project(tmp_path: Path):
    text = f"team: web\nproject: site\nkeys:\n  - {{id: web-2, sha256: '{OTHER}'}}\n"
    snapshot = snapshot_of(tmp_path, keys__more=text)
    beside, own = snapshot.keys["web-2"], snapshot.keys[KEY_ID]
    assert (beside.team, beside.project, beside.models) == (own.team, own.project, own.models)
    assert snapshot.keys_by_hash[OTHER] is beside


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "team: wbe\nproject: site\n",
            "keys/more.yaml:1:7: unknown team 'wbe': did you mean 'web'?",
        ),
        (
            "team: web\nproject: sit\n",
            "keys/more.yaml:2:10: the team 'web' has no project 'sit': did you mean 'site'?",
        ),
        (
            f"team: web\nproject: site\nkeys: [{{id: {KEY_ID}, sha256: '{OTHER}'}}]\n",
            f"keys/more.yaml:3:13: the key id '{KEY_ID}' is used twice, first at teams/web.yaml:6",
        ),
    ],
)
def test_a_file_of_keys_that_fits_nowhere_is_refused(tmp_path: Path, text: str, problem: str):
    assert problem_of(tmp_path, keys__more=text) == problem


@pytest.mark.parametrize(
    ("lines", "where"),
    [
        ({"key_lines": "env: prod\nshadow: {denied_models: [small]}"}, f"the key '{KEY_ID}'"),
        ({"project_lines": "shadow: {allowed_models: [large]}"}, "the project 'site'"),
        ({"team_lines": "shadow: {allowed_models: []}"}, "the team 'web'"),
        (
            {"team_lines": "environments: {prod: {shadow: {denied_models: ['*']}}}"},
            "the environment 'prod' of the team 'web'",
        ),
    ],
)
def test_a_rule_in_shadow_refuses_nothing_and_is_told(
    tmp_path: Path, lines: dict[str, str], where: str
):
    text = team(**{"key_lines": "env: prod", **lines})
    found = key_of(tmp_path, org=TWO, teams__web=text)
    rule = found.would_deny("small")
    assert found.models == {"small"}
    assert rule is not None
    assert rule.where == where


def test_a_rule_in_shadow_that_permits_a_call_is_not_told(tmp_path: Path):
    text = team("shadow: {allowed_models: [small], denied_models: [large]}")
    assert key_of(tmp_path, teams__web=text).would_deny("small") is None


def test_what_is_in_shadow_is_checked_like_what_is_enforced(tmp_path: Path):
    text = team("shadow: {denied_models: [smal]}")
    assert problem_of(tmp_path, teams__web=text) == (
        "teams/web.yaml:8:34: unknown model 'smal': did you mean 'small'?"
    )


def test_a_key_that_was_replaced_is_the_same_key_until_its_moment(tmp_path: Path):
    old = f"previous: [{{sha256: '{OTHER}', valid_until: 2026-12-05T00:00:00Z}}]"
    snapshot = snapshot_of(tmp_path, teams__web=team(old))
    assert snapshot.keys_by_hash[OTHER] is snapshot.keys_by_hash[SHA256]
    assert snapshot.keys[KEY_ID].previous == {OTHER: 1_796_428_800.0}


def test_a_replaced_key_may_not_be_another_s(tmp_path: Path):
    text = team(f"previous: [{{sha256: '{SHA256}', valid_until: 2026-12-05}}]")
    problem = f"the sha256 {SHA256[:8]}… is used twice, first at teams/web.yaml:7"
    assert problem_of(tmp_path, teams__web=text) == f"teams/web.yaml:8:29: {problem}"


def test_a_key_has_at_most_four_that_it_replaced(tmp_path: Path):
    each = [f"{{sha256: '{n:064}', valid_until: 2026-12-05}}" for n in range(5)]
    text = team(f"previous: [{', '.join(each)}]")
    assert problem_of(tmp_path, teams__web=text) == (
        "teams/web.yaml:8:19: 'previous' has too many: write at most 4"
    )
