"""The schema for editors: complete, current, and never stricter than the loader."""

import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from tests.support.policy import TREE
from tests.unit.policy.test_policy_problems import TYPES, VALUES, Bad
from tollhouse.paths import EXAMPLE_POLICIES
from tollhouse.policy.documents import Document
from tollhouse.policy.loader import policy_files
from tollhouse.policy.schema import FILES, schema_of, schema_text

SCHEMAS = EXAMPLE_POLICIES / "schema"
# What no schema of one file can see, or only by refusing what is right.
BEYOND = (
    "must be an IANA time zone",
    "must begin with https://",
    "must end before the endpoint",
    "must be a URL",
    "JSON knows",
    "date",
    "decimals",
    "'since'",
    "credentials are",
    "names a header twice",
    "which is not there",
    "is about TLS",
    "'price' needs",
    "write one of them",
    "it needs per_minute",
    "is not the dearest",
    "must have rising",
    '"QUALITY SIZE"',
)


def kind_of(name: str) -> str:
    return {"teams": "team"}.get(name.partition("/")[0], name.partition("/")[0].split(".")[0])


def plain(value: Any) -> Any:
    """As an editor reads it: dates are text, numbers are numbers."""
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [plain(each) for each in value]
    if isinstance(value, datetime.date):
        return value.isoformat()
    return float(value) if isinstance(value, Decimal) else value


def refuses(name: str, text: str) -> bool:
    read = Document(name, text).read()
    assert not read.problems
    validator = Draft7Validator(schema_of(kind_of(name)))
    return not validator.is_valid(plain(read.data))


@pytest.mark.parametrize("kind", FILES)
def test_the_schema_in_the_tree_is_current(kind: str):
    text = (SCHEMAS / f"{kind}.json").read_text(encoding="utf-8")
    assert text == schema_text(kind), "run `make schema`"


@pytest.mark.parametrize("kind", FILES)
def test_every_field_has_a_description(kind: str):
    schema = schema_of(kind)
    Draft7Validator.check_schema(schema)
    for model in (schema, *schema.get("$defs", {}).values()):
        for name, field in model["properties"].items():
            assert field.get("description"), name


def test_the_example_tree_and_the_smallest_tree_fit():
    files = {
        path.relative_to(EXAMPLE_POLICIES).as_posix(): path.read_text(encoding="utf-8")
        for path in policy_files(EXAMPLE_POLICIES)
    }
    assert len(files) > 3
    assert [name for name, text in (*files.items(), *TREE.items()) if refuses(name, text)] == []


def test_every_example_file_names_its_schema():
    for path in policy_files(EXAMPLE_POLICIES):
        first = path.read_text(encoding="utf-8").splitlines()[0]
        target = first.removeprefix("# yaml-language-server: $schema=")
        assert (path.parent / target).resolve().parent == SCHEMAS.resolve()
        assert Path(target).stem == kind_of(path.relative_to(EXAMPLE_POLICIES).as_posix())


def test_what_is_wrong_in_one_file_is_wrong_in_the_editor():
    def missed(bad: Bad) -> bool:
        return not refuses(f"{bad.name.replace('__', '/')}.yaml", bad.text)

    structural = [*TYPES, *VALUES]
    passed = [bad.problem for bad in structural if missed(bad)]
    print(f"\nthe schemas refuse {len(structural) - len(passed)} of {len(structural)} bad files")
    assert [each for each in passed if not any(words in each for words in BEYOND)] == []
