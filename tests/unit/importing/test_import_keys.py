"""What becomes of LiteLLM's keys."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.litellm import MODELS, SHA256, imported, with_key
from tollhouse.importing.exports import ExportError
from tollhouse.keys import sha256_hex
from tollhouse.policy.compiler import load_snapshot

RAW = "sk-rawKeyThatNobodyMaySee0001"


def test_a_key_keeps_its_hash_and_has_its_alias_as_id(tmp_path: Path) -> None:
    result = with_key(tmp_path, key_alias="Web site (prod)")
    assert result.keys["Web-site-prod"]["sha256"] == SHA256
    assert "# LiteLLM: Web site (prod)" in result.everything
    assert result.done.problems == []


def test_a_raw_key_is_hashed_and_written_nowhere(tmp_path: Path) -> None:
    result = imported(tmp_path, MODELS, [{"token": RAW, "key_alias": RAW, "models": [RAW]}])
    [key] = result.keys.values()
    assert key["sha256"] == sha256_hex(RAW)
    assert key["id"] == f"key-{sha256_hex(RAW)[:12]}"
    assert RAW not in result.everything


@pytest.mark.parametrize("alias", [None, "", "sk-...1234", "tlh_abc", "(sk-abcdefgh)", "…"])
def test_a_key_without_a_usable_alias_is_called_after_its_hash(
    tmp_path: Path, alias: str | None
) -> None:
    assert set(with_key(tmp_path, key_alias=alias).keys) == {f"key-{SHA256[:12]}"}


def test_ids_that_would_be_one_become_two(tmp_path: Path) -> None:
    rows = [
        {"token": str(n) * 64, "key_alias": alias} for n, alias in enumerate(["a b", "a-b", "A b"])
    ]
    assert set(imported(tmp_path, MODELS, rows).keys) == {"a-b", "a-b-2", "A-b-3"}


@pytest.mark.parametrize("token", ["", "sk-...1234", "abc", "A" * 63, None])
def test_a_token_that_is_neither_hash_nor_key_is_said(tmp_path: Path, token: object) -> None:
    result = with_key(tmp_path, token=token)
    assert result.keys == {}
    [note] = result.not_carried
    assert note.startswith("key 'it': its token is neither a SHA-256 nor a key")


def test_a_hash_in_capitals_is_the_same_hash(tmp_path: Path) -> None:
    assert with_key(tmp_path, token=SHA256.upper()).keys["it"]["sha256"] == SHA256


# Shapes


@pytest.mark.parametrize(
    "export",
    [
        [{"token": SHA256, "key_alias": "it"}],
        {"keys": [{"token": SHA256, "key_alias": "it"}], "total_count": 1, "current_page": 1},
        {"key": SHA256, "info": {"key_alias": "it", "models": []}},
        {"key": "sk-x", "info": {"token": SHA256, "key_alias": "it"}},
        [{"key": SHA256, "key_alias": "it"}],
        {
            "team_id": "t",
            "team_info": {"team_id": "t"},
            "keys": [{"token": SHA256, "key_alias": "it"}],
        },
        {
            "keys": [{"token": SHA256, "key_alias": "it", "models": "{}", "metadata": "{}"}],
            "teams": [],
        },
    ],
)
def test_keys_are_read_from_every_shape_that_litellm_has(tmp_path: Path, export: Any) -> None:
    result = imported(tmp_path, MODELS, export)
    assert result.keys["it"]["sha256"] == SHA256
    assert result.keys["it"]["allowed_models"] == ["*"]


@pytest.mark.parametrize("export", [{"keys": [SHA256]}, [SHA256], ["sk-x"]])
def test_bare_hashes_are_refused_with_what_to_ask_for(tmp_path: Path, export: Any) -> None:
    with pytest.raises(ExportError, match="return_full_object=true"):
        imported(tmp_path, MODELS, export)


@pytest.mark.parametrize("export", [{}, [{}], [1], {"spend": 1}, [{"user_id": "x"}], None])
def test_what_is_neither_key_nor_team_is_refused(tmp_path: Path, export: Any) -> None:
    with pytest.raises(ExportError, match="neither a key nor a team"):
        imported(tmp_path, MODELS, export)
    assert not (tmp_path / "out").exists()


def test_columns_that_a_dump_wrote_as_text_are_read(tmp_path: Path) -> None:
    result = with_key(
        tmp_path,
        models='{small,"large"}',
        metadata='{"owner": "web", "model_rpm_limit": {"small": 5}}',
        blocked="t",
        rpm_limit="60",
    )
    assert result.keys["it"] == {
        "id": "it",
        "sha256": SHA256,
        "blocked": True,
        "limits": {"requests_per_minute": 60},
        "model_limits": {"small": {"requests_per_minute": 5}},
        "allowed_models": ["small", "large"],
        "metadata": {"owner": "web"},
    }


def test_a_page_that_is_not_all_is_said(tmp_path: Path) -> None:
    page = {"keys": [{"token": SHA256, "key_alias": "it"}], "total_count": 30, "total_pages": 3}
    result = imported(tmp_path, MODELS, page, [{"team_id": "t", "models": []}])
    [note] = result.not_carried
    assert "there are 30 keys and holds 1" in note


def test_all_pages_together_are_all(tmp_path: Path) -> None:
    pages = [{"keys": [{"token": n * 64, "key_alias": n}], "total_count": 2} for n in "ab"]
    result = imported(tmp_path, MODELS, *pages)
    assert (set(result.keys), result.not_carried) == ({"a", "b"}, [])


def test_a_key_that_comes_twice_is_carried_once_and_said(tmp_path: Path) -> None:
    rows = [
        {"token": SHA256, "key_alias": "it", "blocked": True},
        {"token": SHA256, "key_alias": "x"},
    ]
    result = imported(tmp_path, MODELS, rows)
    assert set(result.keys) == {"it"}
    assert any(note.startswith("key 'x': it was in the exports twice") for note in result.to_know)


# Limits


@pytest.mark.parametrize(
    ("fields", "limits"),
    [
        (
            {"rpm_limit": 60, "tpm_limit": 1000, "max_parallel_requests": 2},
            {"requests_per_minute": 60, "tokens_per_minute": 1000, "max_parallel_requests": 2},
        ),
        ({"max_budget": 0.1, "budget_duration": "1d"}, {"daily_spend_usd": 0.1}),
        ({"max_budget": 5, "budget_duration": "24h"}, {"daily_spend_usd": 5}),
        ({"max_budget": 5, "budget_duration": "7d"}, {"weekly_spend_usd": 5}),
        ({"max_budget": 5.0, "budget_duration": "30d"}, {"monthly_spend_usd": 5}),
        ({"max_budget": 5, "budget_duration": "1mo"}, {"monthly_spend_usd": 5}),
        ({"max_budget": 0, "budget_duration": "30d"}, {"monthly_spend_usd": 0}),
        (
            {"max_budget": 33.333333333333336, "budget_duration": "30d"},
            {"monthly_spend_usd": 33.333333333},
        ),
        (
            {
                "budget_limits": [
                    {"budget_duration": "1d", "max_budget": 1},
                    {"budget_duration": "30d", "max_budget": 9},
                ]
            },
            {"daily_spend_usd": 1, "monthly_spend_usd": 9},
        ),
        (
            {
                "max_budget": 5,
                "budget_duration": "1d",
                "budget_limits": [{"budget_duration": "24h", "max_budget": 1}],
            },
            {"daily_spend_usd": 1},
        ),
        (
            {
                "budget_id": "b",
                "rpm_limit": 5,
                "litellm_budget_table": {
                    "rpm_limit": 9,
                    "tpm_limit": 10,
                    "max_budget": 2,
                    "budget_duration": "7d",
                },
            },
            {"requests_per_minute": 5, "tokens_per_minute": 10, "weekly_spend_usd": 2},
        ),
    ],
)
def test_each_limit_of_a_key_has_its_equal(
    tmp_path: Path, fields: dict[str, Any], limits: dict[str, Any]
) -> None:
    result = with_key(tmp_path, **fields)
    assert result.keys["it"]["limits"] == limits
    assert result.not_carried == []
    assert result.done.problems == []


@pytest.mark.parametrize("duration", [None, "10d", "1h", "2mo", "30s", "soon"])
def test_a_budget_of_another_period_is_said_before_all_else(
    tmp_path: Path, duration: str | None
) -> None:
    result = with_key(tmp_path, max_budget=12.5, budget_duration=duration, permissions={"a": True})
    assert "limits" not in result.keys["it"]
    first = (
        (result.out / "IMPORT.md").read_text().partition("## Not carried over")[2].split("\n- ")[1]
    )
    assert first.startswith("the budget of key 'it' (12.5 USD ")
    assert "this one limits nothing now" in first


@pytest.mark.parametrize(
    "fields", [{"rpm_limit": 0}, {"tpm_limit": 0}, {"max_parallel_requests": 0}]
)
def test_a_key_limited_to_nothing_is_blocked(tmp_path: Path, fields: dict[str, int]) -> None:
    result = with_key(tmp_path, **fields)
    assert result.keys["it"]["blocked"] is True
    assert any("a limit of 0 allows no call; it is blocked" in note for note in result.to_know)


@pytest.mark.parametrize("fields", [{"rpm_limit": "many"}, {"rpm_limit": 1.5}, {"rpm_limit": -1}])
def test_a_limit_that_is_no_number_is_said(tmp_path: Path, fields: dict[str, Any]) -> None:
    result = with_key(tmp_path, **fields)
    [note] = result.not_carried
    assert note.startswith("rpm_limit of key 'it': not a whole number")


@pytest.mark.parametrize(
    ("fields", "limits"),
    [
        ({"model_rpm_limit": {"small": 5}}, {"small": {"requests_per_minute": 5}}),
        ({"metadata": {"model_tpm_limit": {"small": 5}}}, {"small": {"tokens_per_minute": 5}}),
        (
            {"model_max_budget": {"small": {"budget_limit": "0.5", "time_period": "1d"}}},
            {"small": {"daily_spend_usd": 0.5}},
        ),
        (
            {
                "model_max_budget": {
                    "small": {"max_budget": 5, "budget_duration": "30d", "tpm_limit": 9}
                }
            },
            {"small": {"monthly_spend_usd": 5, "tokens_per_minute": 9}},
        ),
    ],
)
def test_limits_of_one_model_are_model_limits(
    tmp_path: Path, fields: dict[str, Any], limits: dict[str, Any]
) -> None:
    result = with_key(tmp_path, **fields)
    assert result.keys["it"]["model_limits"] == limits
    assert result.not_carried == []


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"model_rpm_limit": {"nowhere": 5}}, "the limits of 'nowhere' for key 'it': no model"),
        ({"model_max_budget": {"small": 5}}, "the budget of 'small' in key 'it' (5 USD without"),
    ],
)
def test_limits_of_one_model_that_cannot_be_are_said(
    tmp_path: Path, fields: dict[str, Any], said: str
) -> None:
    [note] = with_key(tmp_path, **fields).not_carried
    assert note.startswith(said)


def test_a_model_limited_to_nothing_is_denied(tmp_path: Path) -> None:
    result = with_key(tmp_path, model_rpm_limit={"small": 0})
    assert result.keys["it"]["denied_models"] == ["small"]
    assert load_snapshot(result.out).keys["it"].models == {"large"}


# Models


@pytest.mark.parametrize(
    ("models", "allowed", "callable_"),
    [
        ([], ["*"], {"small", "large"}),
        (None, ["*"], {"small", "large"}),
        (["*"], ["*"], {"small", "large"}),
        (["all-proxy-models"], ["*"], {"small", "large"}),
        (["small"], ["small"], {"small"}),
        (["cheap"], ["tag:cheap"], {"small"}),
        (["s*"], ["s*"], {"small"}),
        (["no-default-models"], [], set()),
    ],
)
def test_each_kind_of_model_list_allows_what_it_allowed(
    tmp_path: Path, models: Any, allowed: list[str], callable_: set[str]
) -> None:
    result = with_key(tmp_path, models=models)
    assert result.keys["it"]["allowed_models"] == allowed
    assert load_snapshot(result.out).keys["it"].models == callable_
    assert result.not_carried == []


@pytest.mark.parametrize("model", ["nowhere", "openai/*", "[a-z]*", "tag:cheap", ""])
def test_a_list_of_what_is_not_there_allows_nothing(tmp_path: Path, model: str) -> None:
    result = with_key(tmp_path, models=[model])
    assert result.keys["it"]["allowed_models"] == []
    assert load_snapshot(result.out).keys["it"].models == frozenset()
    [note] = result.not_carried
    assert note.startswith(
        f"'{model}' in the models of key 'it': no model, access group or pattern"
    )


def test_a_group_none_of_whose_models_was_carried_allows_nothing(tmp_path: Path) -> None:
    params = "litellm_params: {model: bedrock/x}, model_info: {access_groups: [aws]}"
    entry = f"  - {{model_name: x, {params}}}\n"
    result = imported(
        tmp_path, MODELS + entry, [{"token": SHA256, "key_alias": "it", "models": ["aws", "x"]}]
    )
    assert result.keys["it"]["allowed_models"] == []
    assert [note for note in result.not_carried if "that model was not carried over" in note]
    assert result.done.problems == []


def test_models_that_are_no_list_are_not_taken_for_an_empty_one(tmp_path: Path) -> None:
    result = with_key(tmp_path, models={"small": True})
    assert result.keys == {}
    assert result.not_carried[0].startswith("key 'it': its models are not a list")


def test_whoever_may_call_a_model_may_call_it_by_its_group_alias(tmp_path: Path) -> None:
    more = "router_settings: {model_group_alias: {mini: small, big: large}}\n"
    rows = [
        {
            "token": "a" * 64,
            "key_alias": "target",
            "models": ["small"],
            "model_rpm_limit": {"small": 5},
        },
        {"token": "b" * 64, "key_alias": "alias", "models": ["mini"]},
    ]
    result = imported(tmp_path, MODELS + more, rows)
    assert result.keys["target"]["allowed_models"] == ["small", "mini"]
    assert result.keys["alias"]["allowed_models"] == ["mini"]
    assert set(result.keys["target"]["model_limits"]) == {"small", "mini"}
    assert any("stand for each of its names: small, mini" in note for note in result.to_know)


# Expiry, routes, metadata


@pytest.mark.parametrize(
    ("written", "moment"),
    [
        ("2030-06-30T12:00:00Z", datetime(2030, 6, 30, 12, tzinfo=UTC)),
        ("2030-06-30T12:00:00.131000+02:00", datetime(2030, 6, 30, 10, 0, 0, 131000, tzinfo=UTC)),
        ("2030-06-30 12:00:00", datetime(2030, 6, 30, 12, tzinfo=UTC)),
    ],
)
def test_a_key_expires_at_the_same_moment(tmp_path: Path, written: str, moment: datetime) -> None:
    result = with_key(tmp_path, expires=written)
    assert load_snapshot(result.out).keys["it"].expires_at == moment.timestamp()


@pytest.mark.parametrize("written", ["soon", "1999-01-01T00:00:00Z", 1893456000, "3000-01-01"])
def test_a_key_whose_expiry_cannot_be_read_is_not_carried(tmp_path: Path, written: Any) -> None:
    result = with_key(tmp_path, expires=written)
    assert result.keys == {}
    [note] = result.not_carried
    assert note.startswith("key 'it': its expires is no date")


def test_a_key_that_may_call_no_model_is_not_carried(tmp_path: Path) -> None:
    result = with_key(tmp_path, allowed_routes=["management_routes", "/key/info"])
    assert result.keys == {}
    [note] = result.not_carried
    assert note.startswith("key 'it': its allowed_routes let it call no model")


@pytest.mark.parametrize("route", ["llm_api_routes", "/v1/chat/completions", "/embeddings"])
def test_a_key_for_the_model_routes_is_carried(tmp_path: Path, route: str) -> None:
    assert set(with_key(tmp_path, allowed_routes=[route]).keys) == {"it"}


def test_metadata_is_kept_where_it_is_plain_and_never_a_key(tmp_path: Path) -> None:
    metadata = {
        "cost center": 4711,
        "ratio": 0.5,
        "internal": True,
        "owner": "ada",
        "nothing": None,
        "deep": {"secret": "quite-secret"},
        "lines": "a\nb",
        "old_key": RAW,
    }
    result = with_key(tmp_path, metadata=metadata, user_id="ada@acme.test")
    assert result.keys["it"]["metadata"] == {
        "cost-center": 4711,
        "ratio": 0.5,
        "internal": True,
        "owner": "ada",
        "user_id": "ada@acme.test",
    }
    dropped = [note for note in result.not_carried if note.startswith("metadata '")]
    assert [note.split("'")[1] for note in dropped] == ["deep", "lines", "old_key"]
    assert "quite-secret" not in result.everything and RAW not in result.everything


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"spend": 1.5}, "spend of key 'it': the ledger begins at zero"),
        ({"user_id": "ada"}, "user_id of key 'it': there are no users here"),
        ({"organization_id": "o"}, "organization_id of key 'it': there is one org here"),
        ({"org_id": "o"}, "organization_id of key 'it': there is one org here"),
        ({"budget_id": "b"}, "budget_id of key 'it': the shared budget is in LiteLLM_BudgetTable"),
        ({"project_id": "p"}, "project_id of key 'it': the LiteLLM project is not in the export"),
        ({"soft_budget": 5}, "soft_budget of key 'it': it only sent an alert"),
        ({"litellm_budget_table": {"soft_budget": 5}}, "soft_budget of key 'it': it only sent"),
        ({"permissions": {"a": True}}, "permissions of key 'it': keys here call models"),
        ({"object_permission": {"mcp_servers": []}}, "object_permission_id of key 'it': MCP"),
        ({"access_group_ids": ["g"]}, "access_group_ids of key 'it': access groups of LiteLLM's"),
        ({"aliases": {"a": "b"}}, "aliases of key 'it': a key has no aliases of its own"),
        ({"config": {"a": 1}}, "config of key 'it': a key has no configuration"),
        ({"router_settings": {"a": 1}}, "router_settings of key 'it': routing is not set per key"),
        ({"allowed_cache_controls": ["x"]}, "allowed_cache_controls of key 'it': answers are not"),
        ({"policies": ["x"]}, "policies of key 'it': guardrail policies have no equal"),
        ({"agent_id": "a"}, "agent_id of key 'it': agents have no equal"),
        ({"auto_rotate": True}, "auto_rotate of key 'it': keys are not rotated by themselves"),
        ({"metadata": {"tags": ["x"]}}, "tags of key 'it': a key has no request tags"),
        ({"metadata": {"guardrails": ["x"]}}, "guardrails of key 'it': guardrails have no equal"),
        ({"metadata": {"logging": [{"a": 1}]}}, "logging of key 'it': callbacks are not set per"),
        ({"metadata": {"prompts": ["x"]}}, "prompts of key 'it': prompts are not kept here"),
    ],
)
def test_a_field_of_a_key_without_equal_is_said(
    tmp_path: Path, fields: dict[str, Any], said: str
) -> None:
    [note] = with_key(tmp_path, **fields).not_carried
    assert note.startswith(said)


@pytest.mark.parametrize(
    "fields",
    [
        {"spend": 0.0, "permissions": {}, "aliases": {}, "config": {}, "auto_rotate": False},
        {"key_name": "sk-...1234", "created_at": "2024-01-01T00:00:00Z", "model_spend": {"a": 1}},
    ],
)
def test_what_says_nothing_is_not_mentioned(tmp_path: Path, fields: dict[str, Any]) -> None:
    assert with_key(tmp_path, **fields).not_carried == []


def test_a_field_that_many_keys_have_is_one_note(tmp_path: Path) -> None:
    rows = [{"token": f"{n:064x}", "key_alias": f"k{n}", "user_id": "ada"} for n in range(9)]
    [note] = imported(tmp_path, MODELS, rows).not_carried
    assert note.startswith("user_id of key 'k0', key 'k1'") and "and 3 more:" in note
