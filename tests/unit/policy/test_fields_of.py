"""The fields that a hint of a policy's or a request's mistake chooses from."""

from __future__ import annotations

from tollhouse.policy.model_files import ModelFile
from tollhouse.policy.team_files import TeamFile
from tollhouse.policy.wording import fields_of


def test_the_fields_of_the_model_at_a_path_are_found_and_of_nothing_none() -> None:
    assert "provider" in fields_of(ModelFile, ())
    assert "sha256" in fields_of(TeamFile, ("projects", "site", "keys", 0))
    assert fields_of(ModelFile, ("nothing", "there", 0)) == []
    assert fields_of(ModelFile, ("price", "input_per_million", "\ud8bd", "x")) == []
