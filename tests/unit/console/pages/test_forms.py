"""What people type, as the use cases want it, and back."""

from __future__ import annotations

from decimal import Decimal

import pytest

from console.pages.views import forms, labels
from console.problems import ManageError
from console.shapes.keys import KeyCreate, KeyPatch
from console.shapes.models import ModelCreate, ModelPatch
from console.shapes.reading import read_fields


@pytest.mark.parametrize(
    ("typed", "number"),
    [("60", 60), ("60,000", 60_000), ("1 000 000", 1_000_000), ("1_000", 1000), ("1,00", "1,00")],
)
def test_numbers_are_taken_as_people_group_them(typed: str, number: object) -> None:
    assert forms.whole(typed) == number


@pytest.mark.parametrize(
    ("typed", "usd"), [("$1,500.50", "1500.50"), ("50", "50"), ("0.5", "0.5"), ("12,5", "12,5")]
)
def test_money_is_taken_with_its_sign_and_groups(typed: str, usd: str) -> None:
    assert forms.money(typed) == usd


def test_a_new_key_has_what_was_typed_and_nothing_that_was_left_empty() -> None:
    posted = {
        "team": ["web"],
        "project": ["site"],
        "env": [""],
        "id": [" "],
        "models": ["some"],
        "allowed_models": ["small", "team/spare"],
        "limits.requests_per_minute": ["60"],
        "limits.monthly_spend_usd": ["$1,000"],
        "limits.tokens_per_day": [""],
        "metadata.owner": ["Ann"],
        "expires": ["date"],
        "expires_date": ["2035-01-31"],
    }
    asked = read_fields(KeyCreate, forms.key_create(posted))
    assert asked.asked == {
        "team": "web",
        "project": "site",
        "allowed_models": ["small", "team/spare"],
        "limits": asked.limits,
        "expires": "2035-01-31",
        "metadata": {"owner": "Ann"},
    }
    assert asked.limits.asked == {"requests_per_minute": 60, "monthly_spend_usd": Decimal(1000)}


def test_boxes_that_are_ticked_count_only_where_they_were_asked_for() -> None:
    posted = {"models": ["all"], "allowed_models": ["small"]}
    assert "allowed_models" not in forms.key_create(posted)
    assert forms.key_patch(posted)["allowed_models"] is None


def test_what_is_emptied_in_a_form_is_taken_away_and_an_end_stays_unless_another_is_chosen() -> (
    None
):
    patch = forms.key_patch({"expires": ["keep"], "limits.tokens_per_day": ["9"]})
    asked = read_fields(KeyPatch, patch)
    assert asked.limits is not None
    assert asked.limits.asked == dict.fromkeys(forms.LIMITS) | {"tokens_per_day": 9}
    assert asked.metadata == {"owner": None}
    assert "expires" not in patch
    assert forms.key_patch({"expires": [""]})["expires"] is None


def test_a_day_that_was_not_given_is_refused_and_not_taken_for_never() -> None:
    with pytest.raises(ManageError) as refused:
        read_fields(
            KeyCreate, forms.key_create({"team": ["a"], "project": ["b"], "expires": ["date"]})
        )
    assert refused.value.param == "expires"


def test_a_refusal_is_shown_at_the_field_that_it_is_about() -> None:
    error = ManageError("invalid_request", "too much", param="limits.monthly_spend_usd")
    filled = forms.Filled({"limits.monthly_spend_usd": ["9"]}, error)
    assert filled.wrong("limits.monthly_spend_usd") == "too much"
    assert filled.wrong("limits.daily_spend_usd") is None
    listed = forms.Filled({}, ManageError("invalid_request", "no such model", "allowed_models.1"))
    assert listed.wrong("allowed_models") == "no such model"


def test_a_missing_environment_is_named_as_the_form_names_it() -> None:
    missing = ManageError("invalid_request", "the field 'env' is missing: one of prod", "env")
    assert forms.for_people(missing).message == "Environment is missing: one of prod"
    entry = ManageError("invalid_request", "'allowed_models.1' must be text", "allowed_models.1")
    assert forms.for_people(entry).message == "Models must be text"
    other = ManageError("policy_read_only", "the files are 'env'", details={"patch": "x"})
    assert forms.for_people(other) is other


def test_every_field_of_the_api_that_a_form_has_is_named_there() -> None:
    assert tuple(labels.LIMITS) == forms.LIMITS


def test_a_models_form_makes_what_the_use_case_takes() -> None:
    posted = {
        "alias": ["team/new"],
        "provider": ["openai"],
        "model": ["gpt-4o"],
        "endpoints": ["chat/completions"],
        "tags": ["cheap, new"],
        "max_output_tokens": ["4,096"],
        "price.input_per_million": ["0.15"],
        "price.output_per_million": ["0.6"],
    }
    asked = read_fields(ModelCreate, forms.model_create(posted))
    assert (asked.alias, asked.tags, asked.max_output_tokens) == (
        "team/new",
        ["cheap", "new"],
        4096,
    )
    assert asked.price is not None
    assert asked.price.input_per_million == Decimal("0.15")
    patch = read_fields(
        ModelPatch,
        forms.model_fields(
            {**posted, "price.input_per_million": [""], "price.output_per_million": [""]}
        ),
    )
    assert patch.price is None
    assert patch.asked["description"] is None
