"""LiteLLM's costs per token as prices per million tokens."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.litellm import with_model
from tollhouse.importing.notes import Notes
from tollhouse.importing.prices import price_of
from tollhouse.money import NANO_PER_USD, usd_to_nano
from tollhouse.policy.compiler import load_snapshot


@pytest.mark.parametrize(
    ("written", "nano"),
    [
        ("1.5e-07", 150_000_000),  # PyYAML reads a float
        ("15e-8", 150_000_000),  # and here text
        ("0.00000015", 150_000_000),
        ("'1.5e-07'", 150_000_000),
        ("1e-15", 1),
        ("0", 0),
        ("0.1e-6", 100_000_000),  # as floats 0.1e-6 * 1e6 is not 0.1
    ],
)
def test_a_cost_is_exact_however_yaml_reads_it(tmp_path: Path, written: str, nano: int) -> None:
    costs = f"input_cost_per_token: {written}, output_cost_per_token: {written}"
    result = with_model(tmp_path, f"{{model: openai/x, {costs}}}")
    price = load_snapshot(result.out).aliases["it"].price
    assert price is not None
    assert (price.input, price.output) == (nano, nano)
    assert [note for note in (*result.not_carried, *result.to_know) if "cost" in note] == []


@pytest.mark.parametrize("where", ["params", "info"])
def test_costs_are_read_from_both_places(tmp_path: Path, where: str) -> None:
    costs = "input_cost_per_token: 3e-6, output_cost_per_token: 15e-6"
    costs += ", cache_read_input_token_cost: 3e-7"
    params, info = (f", {costs}", "") if where == "params" else ("", costs)
    result = with_model(tmp_path, f"{{model: openai/x{params}}}", f"{{{info}}}")
    assert result.models["it"]["price"] == {
        "input_per_million": 3,
        "output_per_million": 15,
        "cached_input_per_million": 0.3,
    }


def test_a_cost_finer_than_a_nano_dollar_is_rounded_up_and_said(tmp_path: Path) -> None:
    costs = "input_cost_per_token: 1.4999999999999999e-07, output_cost_per_token: 1e-6"
    result = with_model(tmp_path, f"{{model: openai/x, {costs}}}")
    assert result.models["it"]["price"]["input_per_million"] == 0.15
    [note] = [note for note in result.to_know if "input_cost_per_token" in note]
    assert "finer than a nano-dollar; it was rounded up to 0.15" in note


def test_embeddings_need_no_output_cost(tmp_path: Path) -> None:
    result = with_model(
        tmp_path, "{model: openai/x, input_cost_per_token: 2e-8}", "{mode: embedding}"
    )
    assert result.models["it"]["price"] == {"input_per_million": 0.02, "output_per_million": 0}


@pytest.mark.parametrize(
    ("cost", "said"),
    [
        ("input_cost_per_token: 1e-6", "the price of model 'it': a price needs both"),
        (
            "input_cost_per_token: cheap, output_cost_per_token: 1e-6",
            "input_cost_per_token of model 'it': not a number of USD",
        ),
        (
            "input_cost_per_token: -1, output_cost_per_token: 1e-6",
            "input_cost_per_token of model 'it': not a number of USD",
        ),
        (
            "input_cost_per_token: 1, output_cost_per_token: 1e-6",
            "input_cost_per_token of model 'it': not a number of USD",
        ),
    ],
)
def test_a_price_that_cannot_be_is_left_out_whole_and_said(
    tmp_path: Path, cost: str, said: str
) -> None:
    result = with_model(tmp_path, f"{{model: openai/x, {cost}}}")
    assert "price" not in result.models["it"]
    assert result.not_carried[0].startswith(said)
    assert result.not_carried[-1].startswith("the price of model 'it'")


@pytest.mark.parametrize(
    "cost",
    [
        "input_cost_per_token_above_200k_tokens",
        "cache_creation_input_token_cost",
        "output_cost_per_image",
        "input_cost_per_second",
    ],
)
def test_a_rate_that_is_not_one_of_the_three_is_named(tmp_path: Path, cost: str) -> None:
    costs = f"input_cost_per_token: 1e-6, output_cost_per_token: 1e-6, {cost}: 1e-5"
    result = with_model(tmp_path, f"{{model: openai/x, {costs}}}")
    assert result.models["it"]["price"] == {"input_per_million": 1, "output_per_million": 1}
    [note] = result.not_carried
    assert note.startswith(f"{cost} of model 'it': a price here is one rate each")


def test_the_price_of_a_base_model_is_the_public_one(tmp_path: Path) -> None:
    params = "{model: azure/prod-1, api_base: 'https://a.openai.azure.com'}"
    result = with_model(tmp_path, params, "{base_model: azure/gpt-4o-mini}")
    assert result.models["it"]["price"] == {
        "input_per_million": 0.15,
        "output_per_million": 0.6,
        "cached_input_per_million": 0.075,
    }
    assert any("public one of its base_model 'gpt-4o-mini'" in note for note in result.to_know)


def test_a_base_model_without_public_price_is_said(tmp_path: Path) -> None:
    result = with_model(tmp_path, "{model: groq/x}", "{base_model: azure/never-heard-of}")
    [note] = result.not_carried
    assert note.startswith("base_model of model 'it': the public price list has no flat price")


@given(st.decimals(min_value=0, max_value="0.01", allow_nan=False, places=20))
def test_no_price_is_lower_than_the_cost_or_higher_by_a_nano_dollar(cost: Decimal) -> None:
    stated = {"input_cost_per_token": cost, "output_cost_per_token": Decimal(0)}
    notes = Notes()
    price = price_of(stated, "it", notes, embeddings=False)["input_per_million"]
    over = Fraction(usd_to_nano(price)) - Fraction(cost) * 1_000_000 * NANO_PER_USD
    assert 0 <= over < 1
    assert bool(notes.to_know) == (over != 0)
