"""Every error at once: what is wrong inside a file hides nothing that is wrong between files."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.policy import write_tree
from tollhouse.policy.compiler import load_snapshot
from tollhouse.policy.problems import PolicyError


class Edit(NamedTuple):
    """An edit of a good tree, and the problem that it makes."""

    file: str
    old: str
    new: str
    problem: str


FILES = {
    "org": """\
org: acme
time_zone: UTC
environments:
  prod: {blocked: false}
  staging: {denied_models: [large]}
""",
    "providers": """\
providers:
  openai: {dialect: openai, base_url: https://api.openai.com/v1, api_key: "${A_KEY}"}
  local: {dialect: openai, base_url: https://llm.example.com/v1, api_key: "${B_KEY}"}
""",
    "models": """\
models:
  small: {provider: openai, model: gpt-4o-mini, tags: [cheap, quick]}
  large: {provider: openai, model: gpt-4o, tags: [dear]}
  own: {provider: local, model: llama, tags: [inhouse], max_output_tokens: 100}
groups: {chat: [small, large], house: [own]}
""",
    "teams__web": f"""\
team: web
projects:
  site:
    allowed_models: [small, large, "tag:inhouse", "group:house"]
    keys:
      - {{id: site-1, sha256: {"a1" * 32}, env: prod, expires: 2099-01-01}}
      - {{id: site-2, sha256: {"a2" * 32}, env: staging}}
  shop:
    allowed_models: [small]
    keys: []
""",
    "teams__ops": f"""\
team: ops
projects:
  runs:
    allowed_models: [small, own, "tag:dear", "tag:quick", "group:chat"]
    keys:
      - {{id: runs-1, sha256: {"a3" * 32}, env: prod}}
""",
    "keys__shop": f"""\
team: web
project: shop
keys:
  - {{id: shop-1, sha256: {"a4" * 32}, env: prod, expires: 2099-01-01}}
  - {{id: shop-2, sha256: {"a5" * 32}, env: prod}}
""",
}

INSIDE = [
    Edit("org", "UTC", "Mars", "org.yaml:2:12: 'time_zone' must be an IANA"),
    Edit("org", "blocked", "blokced", "org.yaml:4:10: unknown field 'blokced': did you mean"),
    Edit("org", "{blocked: false}", "7", "org.yaml:4:9: 'prod' must be a mapping"),
    Edit("org", "org: acme", "org: 5", "org.yaml:1:6: 'org' must be text"),
    Edit("providers", "local: {", "local: {idle_timeout_seconds: 0, ", "providers.yaml:3:33: 'i"),
    Edit("providers", '"${B_KEY}"', "sk-live", "providers.yaml:3:75: 'api_key' must name"),
    Edit("models", "max_output", "max_outptu", "models.yaml:4:57: unknown field 'max_outptu_"),
    Edit("models", "model: llama, ", "", "models.yaml:4:8: the field 'model' is missing"),
    Edit("models", "[inhouse]", "inhouse", "models.yaml:4:46: 'tags' must be a list"),
    Edit("models", "[inhouse]", "[3, inhouse]", "models.yaml:4:47: item 1 of 'tags' must be text"),
    Edit("models", "house: [own]", "house: 5", "models.yaml:5:39: 'house' must be a list"),
    Edit("teams__web", "[small, large", "[1, small, large", "teams/web.yaml:4:22: item 1 of"),
    Edit("teams__web", "a1" * 32, "a1", "teams/web.yaml:6:30: 'sha256' must be"),
    Edit("teams__web", "env: prod", "env: 5", "teams/web.yaml:6:101: 'env' must be text"),
    Edit("teams__web", "2099-01-01", "never", "teams/web.yaml:6:116: 'expires' must be a date"),
    Edit("teams__web", "  shop:", "  shop:\n    owner: 5", "teams/web.yaml:9:5: unknown field"),
    Edit("teams__web", "keys: []", "keys: 5", "teams/web.yaml:10:11: 'keys' must be a list"),
    Edit("teams__web", "2099-01-01", "2099-02-31", "teams/web.yaml:6:116: there is no such date"),
    Edit("teams__web", "team: web", "team: web\nowner: a\nowner: b", "teams/web.yaml:3:1: 'owner"),
    Edit("models", "[inhouse]", "!x [inhouse]", "models.yaml:4:46: tags (!) are not used here"),
    Edit("keys__shop", "2099-01-01", "never", "keys/shop.yaml:4:112: 'expires' must be a date"),
    Edit("keys__shop", "id: shop-1, ", "", "keys/shop.yaml:4:5: the field 'id' is missing"),
]
BETWEEN = [
    Edit("teams__ops", "[small", "[smal", "teams/ops.yaml:4:22: unknown model 'smal': did you"),
    Edit("teams__ops", "tag:dear", "tag:deer", "teams/ops.yaml:4:34: no model has the tag 'deer'"),
    Edit("teams__ops", "group:chat", "group:chta", "teams/ops.yaml:4:59: unknown group 'chta'"),
    Edit("teams__ops", "env: prod", "env: prd", "teams/ops.yaml:6:101: unknown environment 'prd'"),
    Edit("models", "{provider: openai, model: gpt-4o,", "{provider: opena, model: gpt-4o,",
         "models.yaml:3:21: unknown provider 'opena': did you mean 'openai'?"),
    Edit("keys__shop", "id: shop-2", "id: runs-1", "keys/shop.yaml:5:10: the key id 'runs-1' is"),
    Edit("teams__web", "env: staging", "env: stagin", "teams/web.yaml:7:101: unknown environment"),
    Edit("keys__shop", "project: shop", "project: sohp", "keys/shop.yaml:2:10: the team 'web'"),
    Edit("teams__ops", "team: ops", "team: ops\nlimits: {daily_spend_usd: 5}",
         "models.yaml:4:3: 'own' needs a price"),
]  # fmt: skip
# What is taken out may be what the other would need to be seen.
HIDDEN = {
    ("tags", "no model has the tag"),
    ("blokced", "needs a price"),
    ("'prod'", "needs a price"),
    ("3:33", "needs a price"),
    ("api_key", "needs a price"),
    ("max_outptu", "needs a price"),
    ("'model' is missing", "needs a price"),
    ("tags", "needs a price"),
}


def problems(folder: Path, *edits: Edit) -> list[str]:
    files = dict(FILES)
    for edit in edits:
        assert edit.old in files[edit.file]
        files[edit.file] = files[edit.file].replace(edit.old, edit.new, 1)
    try:
        load_snapshot(write_tree(folder, **files))
    except PolicyError as error:
        return [str(each) for each in error.problems]
    return []


def test_the_tree_of_these_tests_is_good(tmp_path: Path) -> None:
    assert problems(tmp_path) == []


@pytest.mark.parametrize("edit", INSIDE + BETWEEN, ids=lambda edit: edit.problem)
def test_one_mistake_is_one_problem(edit: Edit, tmp_path: Path) -> None:
    found = problems(tmp_path, edit)
    assert [each[: len(edit.problem)] for each in found] == [edit.problem]


@pytest.mark.parametrize(
    ("inside", "between"),
    list(product(INSIDE, BETWEEN)),
    ids=lambda edit: edit.problem.split(": ")[0],
)
def test_a_mistake_inside_a_file_hides_none_between_files(
    inside: Edit, between: Edit, tmp_path: Path
) -> None:
    found = problems(tmp_path, inside, between)
    hidden = any(a in inside.problem and b in between.problem for a, b in HIDDEN)
    expected = [inside] if hidden else [inside, between]
    for edit in expected:
        place, message = edit.problem.split(": ", 1)
        assert any(message in each and place.split(":")[0] in each for each in found), found
    assert len(found) == len(expected), found
