"""Limits as they are compiled, and what a budget asks of the models that it applies to."""

import re
from pathlib import Path

import pytest

from tests.support.policy import KEY_ID, SHA256, TREE, team, write_tree
from tollhouse.paths import ENVOY_DIR
from tollhouse.policy.budgets import UNBOUNDED
from tollhouse.policy.compiled import Limits
from tollhouse.policy.compiler import load_snapshot
from tollhouse.policy.problems import PolicyError

UNPRICED = "models:\n  small: {provider: openai, model: no-such-model, tags: [cheap]}\n"


@pytest.mark.parametrize(
    ("overrides", "budget"),
    [
        ({"org": "limits: {monthly_spend_usd: 0}\n"}, "the org 'default'"),
        ({"models": UNPRICED.replace("tags", "limits: {monthly_spend_usd: 1}, tags")}, "the model"),
        ({"teams__web": team(team_lines="limits: {monthly_spend_usd: 1}")}, "the team 'web'"),
        (
            {"teams__web": team(project_lines="limits: {monthly_spend_usd: 1}")},
            "the project 'site'",
        ),
        ({"teams__web": team("limits: {monthly_spend_usd: 1}")}, f"the key '{KEY_ID}'"),
        (
            {"teams__web": team("model_limits: {small: {monthly_spend_usd: 1}}")},
            f"the key '{KEY_ID}' for this model",
        ),
    ],
)
def test_a_model_without_price_is_refused_where_a_budget_applies(
    overrides: dict[str, str], budget: str, tmp_path: Path
):
    with pytest.raises(PolicyError) as caught:
        load_snapshot(write_tree(tmp_path, **{"models": UNPRICED, **overrides}))
    assert str(caught.value).startswith(
        f"models.yaml:2:3: 'small' needs a price, for the monthly_spend_usd of {budget}"
    )
    assert "the public price list does not know this model: write price:" in str(caught.value)


@pytest.mark.parametrize("period", ["daily", "weekly"])
def test_a_budget_of_any_period_needs_a_price(period: str, tmp_path: Path):
    limits = f"limits: {{{period}_spend_usd: 1}}\n"
    with pytest.raises(PolicyError, match=f"for the {period}_spend_usd of the org"):
        load_snapshot(write_tree(tmp_path, models=UNPRICED, org=limits))


def with_default(default: str) -> str:
    return f"{TREE['models.yaml']}    defaults: {{{default}}}\n"


UNBOUNDED_DEFAULTS = [
    "web_search_options: {}",
    "service_tier: priority",
    "modalities: [text, audio]",
    "tools: [{type: web_search}]",
    "best_of: 4",
]


@pytest.mark.parametrize("default", UNBOUNDED_DEFAULTS)
def test_a_model_whose_defaults_no_tokens_bound_is_refused_under_a_hard_budget(
    default: str, tmp_path: Path
):
    limits = "limits: {weekly_spend_usd: 5}\n"
    name = default.partition(":")[0]
    with pytest.raises(PolicyError) as caught:
        load_snapshot(write_tree(tmp_path, models=with_default(default), org=limits))
    assert (
        f"'{name}' can cost more than the tokens of a call, and the weekly_spend_usd of the org "
        "'default', which applies to 'small', is a hard budget: remove the default, or write "
        "budget_mode: soft beside that limit"
    ) in str(caught.value)


@pytest.mark.parametrize(
    ("default", "limits"),
    [
        *((default, "{weekly_spend_usd: 5, budget_mode: soft}") for default in UNBOUNDED_DEFAULTS),
        *((default, "{requests_per_minute: 5}") for default in UNBOUNDED_DEFAULTS),
        ("service_tier: flex", "{weekly_spend_usd: 5}"),
        ("modalities: [text]", "{weekly_spend_usd: 5}"),
        ("tools: [{type: function, function: {name: f}}]", "{weekly_spend_usd: 5}"),
        ("web_search_options: false", "{weekly_spend_usd: 5}"),
    ],
)
def test_such_a_model_is_fine_under_a_soft_budget_and_a_harmless_default_under_any(
    default: str, limits: str, tmp_path: Path
):
    org = f"limits: {limits}\n"
    assert load_snapshot(write_tree(tmp_path, models=with_default(default), org=org))


def test_clients_and_defaults_are_held_to_the_same_list():
    lua = (ENVOY_DIR / "lua" / "unbounded.lua").read_text()
    listed = lua[lua.index("M.PARAMETERS = {") : lua.index("}", lua.index("M.PARAMETERS"))]
    assert set(re.findall(r'"(\w+)"', listed)) == UNBOUNDED


def test_the_bounds_of_a_model_are_those_of_its_file(tmp_path: Path):
    bounds = "    max_input_tokens: 128000\n    max_tokens_for_tools: 500\n"
    models = TREE["models.yaml"] + bounds
    alias = load_snapshot(write_tree(tmp_path, models=models)).aliases["small"]
    assert (alias.max_input_tokens, alias.max_tokens_for_tools) == (128_000, 500)


def test_limits_of_every_kind_are_compiled(tmp_path: Path):
    lines = """\
limits:
  requests_per_minute: 1
  tokens_per_minute: 2
  requests_per_day: 3
  tokens_per_day: 4
  max_parallel_requests: 5
  daily_spend_usd: 0.000000006
  weekly_spend_usd: 0.000000007
  monthly_spend_usd: 0.000000008
  budget_mode: soft
usage_retention_days: 90
"""
    org = load_snapshot(write_tree(tmp_path, org=lines)).org
    assert org.limits == Limits(1, 2, 3, 4, 5, 6, 7, 8, "soft")
    assert org.usage_retention_days == 90


def test_limits_for_one_model_are_kept_at_their_level(tmp_path: Path):
    own = "model_limits: {small: {requests_per_minute: 5}}"
    snapshot = load_snapshot(write_tree(tmp_path, teams__web=team(own, team_lines=own)))
    limits = {"small": Limits(requests_per_minute=5)}
    assert snapshot.keys[KEY_ID].model_limits == snapshot.teams["web"].model_limits == limits


def test_limits_for_a_model_that_does_not_exist_are_an_error(tmp_path: Path):
    wrong = team("model_limits: {smal: {requests_per_minute: 5}}")
    with pytest.raises(PolicyError, match="unknown model 'smal': did you mean 'small'"):
        load_snapshot(write_tree(tmp_path, teams__web=wrong))


def test_a_model_without_price_is_fine_where_no_budget_applies(tmp_path: Path):
    other = team("denied_models: [small]", team_lines="limits: {monthly_spend_usd: 5}")
    other = other.replace(KEY_ID, "ops-1").replace(SHA256, "a" * 64).replace("team: web", "team: o")
    snapshot = load_snapshot(write_tree(tmp_path, models=UNPRICED, teams__o=other))
    assert snapshot.keys["ops-1"].models == frozenset()
    assert snapshot.aliases["small"].first.price is None
    assert snapshot.aliases["small"].first.price_source is None


PRICE = "price: {input_per_million: 1, output_per_million: 1}"
ONE_OF_TWO = f"""\
models:
  small:
    deployments:
      - {{provider: openai, model: gpt-4o-mini, {PRICE}}}
      - {{provider: openai, model: no-such-model}}
"""


def test_under_a_budget_every_deployment_needs_a_price(tmp_path: Path):
    org = "limits: {monthly_spend_usd: 5}\n"
    with pytest.raises(PolicyError, match=r"^models\.yaml:2:3: 'small' needs a price"):
        load_snapshot(write_tree(tmp_path, models=ONE_OF_TWO, org=org))
    assert (
        not load_snapshot(write_tree(tmp_path, models=ONE_OF_TWO, org="org: a"))
        .aliases["small"]
        .is_priced
    )


FALLING = f"""\
models:
  gpt4: {{provider: openai, model: gpt-4o, fallbacks: [small], {PRICE}}}
  small: {{provider: openai, model: no-such-model}}
"""
SPEND = "{monthly_spend_usd: 1}"


def both(key_lines: str = "") -> str:
    return team(key_lines).replace("[small]", "[small, gpt4]", 1)


@pytest.mark.parametrize(
    ("models", "team_file", "budget"),
    [
        (
            FALLING.replace("fallbacks", f"limits: {SPEND}, fallbacks"),
            both(),
            "the model 'gpt4', which falls back to it,",
        ),
        (
            FALLING,
            both(f"model_limits: {{gpt4: {SPEND}}}"),
            f"the key '{KEY_ID}' for the model 'gpt4', which falls back to it,",
        ),
    ],
)
def test_a_fallback_without_price_is_refused_where_a_budget_applies_to_what_falls_back_to_it(
    models: str, team_file: str, budget: str, tmp_path: Path
):
    with pytest.raises(PolicyError) as caught:
        load_snapshot(write_tree(tmp_path, models=models, teams__web=team_file))
    assert f"'small' needs a price, for the monthly_spend_usd of {budget}" in str(caught.value)


@pytest.mark.parametrize(
    ("models", "team_file"),
    [
        # Nobody may call both; what counts it apart; a budget of another model.
        (FALLING.replace("fallbacks", f"limits: {SPEND}, fallbacks"), team()),
        (
            FALLING.replace("fallbacks", f"limits: {SPEND}, fallbacks"),
            both("model_limits: {small: {requests_per_minute: 1}}"),
        ),
        (
            FALLING.replace("fallbacks: [small]", f"limits: {SPEND}"),
            both(),
        ),
    ],
)
def test_a_fallback_that_is_never_asked_under_a_budget_needs_no_price(
    models: str, team_file: str, tmp_path: Path
):
    assert load_snapshot(write_tree(tmp_path, models=models, teams__web=team_file))


def test_a_fallback_whose_defaults_no_tokens_bound_is_refused_under_the_hard_budget_of_the_other(
    tmp_path: Path,
):
    models = FALLING.replace("fallbacks", f"limits: {SPEND}, fallbacks").replace(
        "no-such-model", f"gpt-4o-mini, {PRICE}, defaults: {{web_search_options: {{}}}}"
    )
    with pytest.raises(PolicyError, match="'web_search_options' can cost more than the tokens"):
        load_snapshot(write_tree(tmp_path, models=models, teams__web=both()))
    soft = models.replace("monthly_spend_usd: 1", "monthly_spend_usd: 1, budget_mode: soft")
    assert load_snapshot(write_tree(tmp_path, models=soft, teams__web=both()))


def test_an_alias_of_unchecked_endpoints_is_told_to_have_a_price_per_request(tmp_path: Path):
    models = "models:\n  small: {provider: openai, endpoints: [files]}\n"
    org = "limits: {monthly_spend_usd: 5}\n"
    with pytest.raises(PolicyError, match=r"write price: \{per_request: …\}$"):
        load_snapshot(write_tree(tmp_path, models=models, org=org))
    priced = models.replace("endpoints", "price: {per_request: 0.5}, endpoints")
    assert load_snapshot(write_tree(tmp_path, models=priced, org=org))
