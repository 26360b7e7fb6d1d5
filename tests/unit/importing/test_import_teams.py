"""What becomes of LiteLLM's teams."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.litellm import MODELS, SHA256, Result, imported
from tollhouse.policy.compiler import load_snapshot


def with_team(directory: Path, key: dict[str, Any] | None = None, **fields: Any) -> Result:
    """Import a team `Web` with one key, `it`."""
    row = {"token": SHA256, "key_alias": "it", "team_id": "t-1", **(key or {})}
    team = {"team_id": "t-1", "team_alias": "Web", **fields}
    return imported(directory, MODELS, {"keys": [row], "teams": [team]})


def test_a_team_becomes_a_file_of_its_name_with_its_keys(tmp_path: Path) -> None:
    result = with_team(tmp_path)
    assert (result.out / "teams/Web.yaml").read_text() == (
        "# LiteLLM's team t-1\n"
        "team: Web\n"
        "allowed_models: ['*']\n"
        "projects:\n"
        "  default:\n"
        "    keys:\n"
        "      - id: it\n"
        f"        sha256: {SHA256}\n"
        "        allowed_models: ['*']\n"
    )
    assert result.not_carried == []


def test_a_team_without_alias_is_called_by_its_id(tmp_path: Path) -> None:
    assert set(with_team(tmp_path, team_alias=None).teams) == {"t-1"}


def test_teams_whose_files_would_be_one_become_two(tmp_path: Path) -> None:
    teams = [{"team_id": n, "team_alias": alias} for n, alias in (("1", "Web"), ("2", "web"))]
    result = imported(tmp_path, MODELS, {"teams": teams})
    assert set(result.teams) == {"Web", "web-2"}
    assert result.done.problems == []


def test_teams_may_come_in_an_export_of_their_own(tmp_path: Path) -> None:
    keys = {"keys": [{"token": SHA256, "key_alias": "it", "team_id": "t-1"}]}
    result = imported(tmp_path, MODELS, keys, [{"team_id": "t-1", "blocked": True}])
    assert load_snapshot(result.out).keys["it"].blocked_at == "team"


def test_keys_without_team_share_one(tmp_path: Path) -> None:
    result = imported(tmp_path, MODELS, [{"token": SHA256, "key_alias": "it"}])
    assert set(result.teams) == {"litellm-no-team"}


def test_a_team_that_is_not_in_the_export_is_said_first(tmp_path: Path) -> None:
    row = {"token": SHA256, "key_alias": "it", "team_id": "t-1", "team_alias": "Web"}
    result = imported(tmp_path, MODELS, [row])
    assert set(result.teams) == {"Web"}
    [note] = result.not_carried
    assert note.startswith("the models, limits, budget and block of team 'Web': the team itself")
    assert "--keys" in note


def test_what_a_key_leaves_to_a_team_that_is_not_there_allows_nothing(tmp_path: Path) -> None:
    row = {"token": SHA256, "key_alias": "it", "team_id": "t-1", "models": ["all-team-models"]}
    result = imported(tmp_path, MODELS, [row])
    assert load_snapshot(result.out).keys["it"].models == frozenset()


def test_a_project_of_litellm_is_a_project_here(tmp_path: Path) -> None:
    result = with_team(tmp_path, {"project_id": "p 1"})
    assert set(result.teams["Web"]["projects"]) == {"p-1"}


@pytest.mark.parametrize(
    ("team", "key", "callable_"),
    [
        ([], [], {"small", "large"}),
        (["all-proxy-models"], ["all-team-models"], {"small", "large"}),
        (["small"], [], {"small"}),
        (["small"], ["all-team-models"], {"small"}),
        (["cheap"], ["small", "large"], {"small"}),
        (["small"], ["large"], set()),
        (["no-default-models"], [], set()),
        (["nowhere"], [], set()),
    ],
)
def test_a_key_may_call_what_both_it_and_its_team_allow(
    tmp_path: Path, team: list[str], key: list[str], callable_: set[str]
) -> None:
    result = with_team(tmp_path, {"models": key}, models=team)
    assert load_snapshot(result.out).keys["it"].models == callable_
    assert result.done.problems == []


def test_a_team_has_limits_of_every_kind(tmp_path: Path) -> None:
    result = with_team(
        tmp_path,
        rpm_limit=600,
        max_budget=500.0,
        budget_duration="30d",
        metadata={"model_rpm_limit": {"small": 60}, "anything": "else"},
        blocked=True,
    )
    team = result.teams["Web"]
    assert team["blocked"] is True
    assert team["limits"] == {"requests_per_minute": 600, "monthly_spend_usd": 500}
    assert team["model_limits"] == {"small": {"requests_per_minute": 60}}
    assert result.not_carried == []


def test_a_team_whose_models_cannot_be_read_is_blocked(tmp_path: Path) -> None:
    result = with_team(tmp_path, models={"small": True})
    assert load_snapshot(result.out).keys["it"].blocked_at == "team"
    assert result.not_carried[0].startswith("team 'Web': its models are not a list; it is blocked")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"organization_id": "o"}, "organization_id of team 'Web': there is one org here"),
        ({"soft_budget": 4}, "soft_budget of team 'Web': it only sent an alert"),
        ({"litellm_model_table": {"model_aliases": {"a": "b"}}}, "litellm_model_table of team"),
        ({"default_team_member_models": ["small"]}, "default_team_member_models of team 'Web': a"),
        ({"max_budget": 5}, "the budget of team 'Web' (5 USD without budget_duration)"),
    ],
)
def test_a_field_of_a_team_without_equal_is_said(
    tmp_path: Path, fields: dict[str, Any], said: str
) -> None:
    [note] = with_team(tmp_path, **fields).not_carried
    assert note.startswith(said)
