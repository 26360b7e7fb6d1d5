"""Prices over the API: nothing that a request does not name is lost, and all of it is shown."""

from __future__ import annotations

import json
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from console.edits.data import of_model
from console.problems import ManageError
from console.shapes.models import ModelCreate, ModelPatch
from console.shapes.reading import read_body, read_fields
from tests.support.policy import write_tree
from tests.unit.console.edits.builders import PLATFORM, Managed
from tollhouse.money.rates import RATES
from tollhouse.policy.model_files import PriceFile

EVERYTHING = """\
models:
  all:
    provider: openai
    model: gpt-4o
    price:
      input_per_million: 2.5   # as agreed
      output_per_million: 10
      cache_write_1h_per_million: 5
      input_audio_per_million: 40
      long_context:
        - {above_input_tokens: 200000, input_per_million: 5}   # twice
      service_tiers:
        flex: {input_per_million: 1.25}   # half
        priority: {output_per_million: 20}
      per_image: 0.04   # any
      per_minute: 0.006
      minimum_audio_seconds: 10
      per_million_characters: 15
      per_thousand_searches: 2
      per_request: 0.001
"""
AMOUNT = st.decimals(0, 100, places=3)
RATE = st.sampled_from([f"{rate}_per_million" for rate in RATES])
TOKENS = st.fixed_dictionaries({"input_per_million": AMOUNT, "output_per_million": AMOUNT})
SOME_RATES = st.dictionaries(RATE, AMOUNT, min_size=1, max_size=3)
STEP = st.fixed_dictionaries({"above_input_tokens": st.integers(1, 10**7)})
UNITS: dict[str, st.SearchStrategy[Any]] = {
    "cached_input_per_million": AMOUNT,
    "cache_write_per_million": AMOUNT,
    "output_image_per_million": AMOUNT,
    "per_hour": AMOUNT,
    "per_million_characters": AMOUNT,
    "per_thousand_searches": AMOUNT,
    "per_request": AMOUNT,
    "per_image": AMOUNT.map(lambda most: {"default": most, "low 256x256": most / 2}),
    "service_tiers": st.dictionaries(
        st.sampled_from(["flex", "priority", "batch"]), SOME_RATES, min_size=1
    ),
    "long_context": st.tuples(STEP, SOME_RATES).map(lambda both: [{**both[0], **both[1]}]),
}
STATED = st.builds(dict.__or__, TOKENS, st.fixed_dictionaries({}, optional=UNITS))
CHANGES = st.fixed_dictionaries({}, optional={n: st.none() | of for n, of in UNITS.items()})


def managed_with(directory: Path, models: str) -> Managed:
    return Managed(write_tree(directory, models=models, teams__web="team: web"))


def written(managed: Managed, alias: str = "all") -> Any:
    return of_model(managed.reader.now().tree.models.model.models[alias]).get("price")


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(STATED, CHANGES)
def test_a_patch_of_a_price_keeps_all_that_it_does_not_name(
    first: dict[str, Any], changes: dict[str, Any]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        price = json.dumps(first, default=float)
        models = f"models:\n  all: {{provider: openai, model: gpt-4o, price: {price}}}\n"
        managed = managed_with(Path(folder), models)
        view = managed.models.patch(PLATFORM, "all", read_fields(ModelPatch, {"price": changes}))
        expected = {name: value for name, value in (first | changes).items() if value is not None}
        tiers = {**first.get("service_tiers", {})} if changes.get("service_tiers") else {}
        for tier, rates in (changes.get("service_tiers") or {}).items():
            expected["service_tiers"] = tiers = {**tiers, tier: {**tiers.get(tier, {}), **rates}}
        assert written(managed) == expected
        assert view.stated_price is not None
        assert view.stated_price.model_dump(exclude_unset=True) == expected
        # What is shown can be sent back, and is no change.
        again = read_body(
            ModelPatch, f'{{"price": {view.stated_price.model_dump_json()}}}'.encode()
        )
        before = managed.text("models.yaml")
        managed.models.patch(PLATFORM, "all", again)
        assert managed.text("models.yaml") == before


def test_a_change_of_one_rate_is_a_change_of_one_line(tmp_path: Path) -> None:
    managed = managed_with(tmp_path, EVERYTHING)
    body = b'{"price": {"per_image": 0.05, "service_tiers": {"flex": {"input_per_million": 1}}}}'
    managed.models.patch(PLATFORM, "all", read_body(ModelPatch, body))
    lines = managed.text("models.yaml").splitlines()
    kept = [line for line in EVERYTHING.splitlines() if line in lines]
    changed = set(EVERYTHING.splitlines()) - set(kept)
    assert {line.split()[0] for line in changed} == {"flex:", "per_image:"}
    assert written(managed)["per_image"] == {"default": Decimal("0.05")}
    # Of a mapping, as the first time has written it.
    managed.models.patch(PLATFORM, "all", read_body(ModelPatch, body.replace(b"0.05", b"0.06")))
    assert written(managed)["per_image"] == {"default": Decimal("0.06")}


def test_null_removes_a_field_a_tier_and_the_whole_price(tmp_path: Path) -> None:
    managed = managed_with(tmp_path, EVERYTHING)
    removed = b'{"price": {"per_request": null, "long_context": null, "service_tiers": '
    tiers = b'{"flex": null, "priority": {"output_per_million": null, "input_per_million": 3}}}}'
    managed.models.patch(PLATFORM, "all", read_body(ModelPatch, removed + tiers))
    price = written(managed)
    assert "per_request" not in price
    assert "long_context" not in price
    assert price["service_tiers"] == {"priority": {"input_per_million": Decimal(3)}}
    view = managed.models.patch(PLATFORM, "all", read_body(ModelPatch, b'{"price": null}'))
    assert (view.stated_price, view.price_source) == (None, "genai-prices")


def test_every_field_of_a_policy_files_price_is_one_of_the_api(tmp_path: Path) -> None:
    managed = managed_with(tmp_path, EVERYTHING)
    view = managed.models.get(PLATFORM, "all")
    assert view.stated_price is not None
    assert type(view.stated_price).model_fields.keys() == PriceFile.model_fields.keys()
    assert view.stated_price.model_dump(exclude_unset=True) == written(managed)


def test_a_view_has_the_price_in_force_beside_the_three_rates(tmp_path: Path) -> None:
    managed = managed_with(tmp_path, EVERYTHING)
    view = managed.models.get(PLATFORM, "all")
    told = json.loads(view.model_dump_json())
    price = {name: value for name, value in told["price"].items() if value is not None}
    assert told["price_per_million"] == {"input": 2.5, "output": 10, "cached_input": 2.5}
    assert price["per_hour"] == 0.36
    assert price["minimum_audio_seconds"] == 10
    assert price["per_image"] == {"default": 0.04}
    assert price["long_context"][0]["input_per_million"] == 5
    assert price["service_tiers"]["flex"]["input_per_million"] == 1.25
    assert told["deployments"][0]["price"] == told["price"]
    assert told["deployments"][0]["stated_price"] is None


def test_what_is_charged_by_the_hour_alone_shows_no_tokens_that_are_free(tmp_path: Path) -> None:
    models = (
        "models:\n  all:\n    provider: openai\n    model: whisper\n"
        "    endpoints: [audio/transcriptions]\n    price: {per_hour: 0.111}\n"
    )
    view = managed_with(tmp_path, models).models.get(PLATFORM, "all")
    assert view.price is not None
    assert view.price.model_dump(exclude_unset=True) == {"per_hour": Decimal("0.111")}


@pytest.mark.parametrize(
    ("price", "param", "said"),
    [
        ({}, "price", "'price' needs input_per_million and output_per_million"),
        ({"input_per_million": 1}, "price", "'price' needs input_per_million and output"),
        ({"per_minute": 1, "per_hour": 1}, "price", "has per_minute and per_hour"),
        ({"minimum_audio_seconds": 1, "per_request": 1}, "price", "needs per_minute or per_hour"),
        ({"per_image": {"hd 1x1": 1}}, "price.per_image", "needs a default"),
        ({"per_image": {"default": 1, "hd 1x1": 2}}, "price.per_image", "not the dearest"),
        ({"per_hour": "x"}, "price.per_hour", "must be USD"),
        ({"per_hour": 10_001}, "price.per_hour", "must be at most 10000"),
        ({"long_context": [{"input_per_million": 1}]}, "price.long_context.0.above_input_tokens",
         "is missing"),
        ({"service_tiers": {"default": {}}}, "price.service_tiers.default", "must be a tier"),
        ({"per_hours": 1}, "price.per_hours", "did you mean 'per_hour'?"),
    ],
)  # fmt: skip
def test_what_is_no_price_is_refused_at_its_field(
    tmp_path: Path, price: dict[str, Any], param: str, said: str
) -> None:
    managed = managed_with(tmp_path, EVERYTHING)
    asked = {"alias": "new", "provider": "openai", "model": "gpt-4o", "price": price}
    with pytest.raises(ManageError) as refused:
        managed.models.create(PLATFORM, read_fields(ModelCreate, asked))
    assert (refused.value.code, refused.value.param) == ("invalid_request", param)
    assert said in refused.value.message
    behind = [{"provider": "openai", "model": "gpt-4o", "price": price}]
    with pytest.raises(ManageError) as refused:
        several = {"alias": "new", "deployments": behind}
        managed.models.create(PLATFORM, read_fields(ModelCreate, several))
    assert refused.value.param == f"deployments.0.{param}"


def test_a_patch_that_leaves_no_price_is_refused_at_it(tmp_path: Path) -> None:
    managed = managed_with(tmp_path, EVERYTHING)
    with pytest.raises(ManageError) as refused:
        asked = read_body(ModelPatch, b'{"price": {"per_minute": null}}')
        managed.models.patch(PLATFORM, "all", asked)
    assert (refused.value.code, refused.value.param) == ("invalid_request", "price")
    assert managed.text("models.yaml") == EVERYTHING
