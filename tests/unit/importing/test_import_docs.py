"""docs/litellm.md says what the import does."""

from __future__ import annotations

from pathlib import Path

from tollhouse.importing import addresses, fields, limits, parameters

PAGE = (Path(__file__).resolve().parents[3] / "docs/litellm.md").read_text()


def test_every_provider_that_is_carried_has_its_address_in_the_page() -> None:
    assert [slug for slug in addresses.KNOWN if f"`{slug}`" not in PAGE] == []


def test_every_parameter_and_limit_that_is_carried_is_in_the_page() -> None:
    assert [name for name in parameters.DEFAULTS if f"`{name}`" not in PAGE] == []
    assert [name for name in limits.COUNTS if f"`{name}`" not in PAGE] == []


def test_every_field_that_is_left_behind_is_in_the_page() -> None:
    named = [*fields.REASONS, *parameters.REASONS]
    assert [name for name in named if f"`{name}`" not in PAGE] == []
