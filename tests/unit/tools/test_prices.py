"""`tollhouse prices` says what every deployment costs, and where that is written."""

from __future__ import annotations

import json
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.support.policy import write_tree
from tollhouse.cli import app

LIST = f"genai-prices {version('genai-prices')}"
MODELS = """\
models:
  public: {provider: openai, model: gpt-4o-mini}
  drawn:
    provider: openai
    model: painter
    endpoints: [images/generations]
    price: {per_image: {default: 0.08, standard 1024x1024: 0.04}}
  heard:
    provider: openai
    model: listener
    endpoints: [audio/transcriptions]
    price: {per_hour: 0.04, minimum_audio_seconds: 10}
  long:
    deployments:
    - provider: openai
      model: reader
      price:
        input_per_million: 1
        output_per_million: 2
        cache_write_1h_per_million: 4
        long_context: [{above_input_tokens: 200000, input_per_million: 3}]
        service_tiers: {flex: {output_per_million: 0.5}}
    - {provider: openai, model: gpt-4o-mini}
  unknown: {provider: openai, model: none-such}
"""


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    return write_tree(tmp_path / "tree", models=MODELS)


def prices(policies: Path, *words: str, status: int = 0) -> str:
    shown = CliRunner().invoke(app, ["prices", "--policies", str(policies), *words])
    assert shown.exit_code == status, shown.output
    return shown.stdout


def found(policies: Path, *words: str) -> list[dict[str, Any]]:
    told = json.loads(prices(policies, "--format", "json", *words))
    assert told["public_list"] == LIST
    deployments: list[dict[str, Any]] = told["deployments"]
    return deployments


def test_each_deployment_says_where_its_price_is_written(policies: Path) -> None:
    told = [(each["alias"], each["model"], each.get("source")) for each in found(policies)]
    at = f"{policies}/models.yaml"
    assert told == [
        ("public", "gpt-4o-mini", LIST),
        ("drawn", "painter", f"{at}:7"),
        ("heard", "listener", f"{at}:12"),
        ("long", "reader", f"{at}:17"),
        ("long", "gpt-4o-mini", LIST),
        ("unknown", "none-such", None),
    ]


def test_every_rate_is_a_line(policies: Path) -> None:
    lines = prices(policies, "--alias", "long").splitlines()
    assert lines[0] == f"long  openai/reader  ({policies}/models.yaml:17)"
    assert [re.split(r"  +", line.strip()) for line in lines[1:10]] == [
        ["input", "$1.00", "a million tokens"],
        ["output", "$2.00", "a million tokens"],
        ["cached input", "$1.00", "a million tokens"],
        ["cache write 1h", "$4.00", "a million tokens"],
        ["above 200,000 input tokens: input", "$3.00", "a million tokens"],
        ["above 200,000 input tokens: output", "$2.00", "a million tokens"],
        ["above 200,000 input tokens: cached input", "$3.00", "a million tokens"],
        ["above 200,000 input tokens: cache write 1h", "$4.00", "a million tokens"],
        ["flex: input", "$1.00", "a million tokens"],
    ]


def test_pictures_and_sound_have_their_own_units(policies: Path) -> None:
    assert prices(policies, "--alias", "drawn").splitlines()[-2:] == [
        "  image, default             $0.08  each",
        "  image, standard 1024x1024  $0.04  each",
    ]
    assert prices(policies, "--alias", "heard").splitlines()[-2:] == [
        "  input audio   $0.04  an hour",
        "  input audio    10 s  at least",
    ]


def test_a_missing_price_has_a_reason(policies: Path) -> None:
    because = "the public price list does not know this model"
    assert prices(policies, "--alias", "unknown") == (
        f"unknown  openai/none-such  (no price: {because})\n"
    )
    (only,) = found(policies, "--alias", "unknown")
    assert only["missing_because"] == because


def test_a_model_that_does_not_exist_is_an_error(policies: Path) -> None:
    shown = CliRunner().invoke(app, ["prices", "--policies", str(policies), "--alias", "publik"])
    assert (shown.exit_code, shown.stdout) == (1, "")
    assert "unknown model 'publik': did you mean 'public'?" in shown.stderr


def test_the_prices_of_a_policy_that_is_wrong_elsewhere_are_told_all_the_same(
    tmp_path: Path,
) -> None:
    policies = write_tree(tmp_path / "tree", models=MODELS, org="org: [a]\n")
    assert prices(policies, "--alias", "public", status=1).startswith("public  openai/gpt-4o-mini")
