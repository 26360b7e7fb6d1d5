"""An edit changes the lines that it is about, and no other byte."""

from __future__ import annotations

import difflib
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tollhouse.policy.documents import Document
from tollhouse.policy.editing import splice
from tollhouse.policy.editing.errors import EditError

POLICIES = Path(__file__).resolve().parents[3] / "policies"


def changed(before: str, after: str) -> list[str]:
    """The lines that a diff shows, `-` or `+` before each."""
    lines = difflib.ndiff(before.splitlines(keepends=True), after.splitlines(keepends=True))
    return [line for line in lines if line[0] in "-+"]


HAND_WRITTEN = """\
# The web team.
team: web   # é, 日本
projects:
    site:
        allowed_models: [ small,   "tag:cheap" ]   # padded
        keys:
            -   id: 'a'   # the first
                sha256: "x"
                # limits: {requests_per_minute: 1}

            # the second
            - {id: b,  env: prod}   # flow

    # nothing yet
    other: {}   # empty
"""


@pytest.mark.parametrize(
    ("path", "value", "diff"),
    [
        (
            ("projects", "site", "keys", 0, "id"),
            "c",
            [
                "-             -   id: 'a'   # the first\n",
                "+             -   id: 'c'   # the first\n",
            ],
        ),
        (
            ("projects", "site", "keys", 0, "sha256"),
            "y",
            ['-                 sha256: "x"\n', '+                 sha256: "y"\n'],
        ),
        (
            ("projects", "site", "keys", 0, "blocked"),
            True,
            ["+                 blocked: true\n"],
        ),
        (
            ("projects", "site", "keys", 1, "expires"),
            date(2030, 1, 2),
            [
                "-             - {id: b,  env: prod}   # flow\n",
                "+             - {id: b,  env: prod, expires: 2030-01-02}   # flow\n",
            ],
        ),
        (
            ("projects", "site", "limits", "monthly_spend_usd"),
            Decimal("2.50"),
            ["+         limits: {monthly_spend_usd: 2.50}\n"],
        ),
        (
            ("projects", "other", "limits", "requests_per_minute"),
            3,
            [
                "-     other: {}   # empty\n",
                "+     other:   # empty\n",
                "+         limits: {requests_per_minute: 3}\n",
            ],
        ),
        (
            ("team",),
            "no",
            ["- team: web   # é, 日本\n", '+ team: "no"   # é, 日本\n'],
        ),
    ],
)
def test_a_value_is_set_where_it_is_and_made_where_it_is_not(
    path: tuple[Any, ...], value: Any, diff: list[str]
) -> None:
    assert changed(HAND_WRITTEN, splice.set_value(HAND_WRITTEN, path, value)) == diff


def test_a_removed_key_takes_its_line_and_an_item_its_lines() -> None:
    path = ("projects", "site", "keys")
    assert changed(HAND_WRITTEN, splice.remove(HAND_WRITTEN, (*path, 1))) == [
        "-             - {id: b,  env: prod}   # flow\n"
    ]
    assert changed(HAND_WRITTEN, splice.remove(HAND_WRITTEN, (*path, 1, "id"))) == [
        "-             - {id: b,  env: prod}   # flow\n",
        "+             - {env: prod}   # flow\n",
    ]
    assert changed(HAND_WRITTEN, splice.remove(HAND_WRITTEN, (*path, 0, "sha256"))) == [
        '-                 sha256: "x"\n'
    ]
    assert changed(HAND_WRITTEN, splice.remove(HAND_WRITTEN, (*path, 0))) == [
        "-             -   id: 'a'   # the first\n",
        '-                 sha256: "x"\n',
    ]


def test_the_first_key_of_an_item_leaves_the_dash_to_the_next() -> None:
    text = "keys:\n- blocked: true  # why\n  id: a\n"
    assert splice.remove(text, ("keys", 0, "blocked")) == "keys:\n- id: a\n"


@pytest.mark.parametrize(
    ("text", "edited"),
    [
        ("keys:\n- id: a\n# of the next\nx: 1\n", "keys:\n- id: a\n- id: b\n# of the next\nx: 1\n"),
        ("keys:\n  - id: a\n    # more of a\n", "keys:\n  - id: a\n    # more of a\n  - id: b\n"),
        ("keys:\r\n  - id: a\r\n", "keys:\r\n  - id: a\r\n  - id: b\r\n"),
        ("keys:\n  - id: a", "keys:\n  - id: a\n  - id: b"),
        ("keys: [{id: a}, ]  # why\n", "keys: [{id: a}, {id: b}, ]  # why\n"),
        ("keys: [\n  {id: a}, # one\n]\n", "keys: [\n  {id: a}, {id: b}, # one\n]\n"),
        ("keys: []  # none yet\nx: 1\n", "keys:  # none yet\n  - id: b\nx: 1\n"),
        ("{keys: []}\n", "{keys: [{id: b}]}\n"),
        ("x: 1\n", "x: 1\nkeys:\n  - id: b\n"),
        ("---\nkeys:\n  - id: a\n...\n", "---\nkeys:\n  - id: a\n  - id: b\n...\n"),
        ("\ufeffkeys:\n  - id: é日𝄞\n", "\ufeffkeys:\n  - id: é日𝄞\n  - id: b\n"),
        ("keys:\n  -\n    id: a\n", "keys:\n  -\n    id: a\n  - id: b\n"),
        ("keys:\n  - id: a\n    t: >-\n      long\n      text\n",
         "keys:\n  - id: a\n    t: >-\n      long\n      text\n  - id: b\n"),
    ],
)  # fmt: skip
def test_an_item_is_appended_in_the_style_of_the_list(text: str, edited: str) -> None:
    assert splice.append(text, ("keys",), {"id": "b"}) == edited


def test_the_only_key_of_a_mapping_leaves_it_empty() -> None:
    assert (
        splice.remove("limits: {a: 1}  # x\nb: 2\n", ("limits", "a")) == "limits: {}  # x\nb: 2\n"
    )
    assert splice.remove("a:\n  - b\nc: 1", ("a", 0)) == "a: []\nc: 1"


def test_lists_in_mappings_are_indented_as_the_file_does_it() -> None:
    entry = {
        "id": "b",
        "previous": [{"sha256": "z", "valid_until": datetime(2026, 1, 1, tzinfo=UTC)}],
    }
    flat = splice.append("keys:\n- id: a\n", ("keys",), entry)
    assert flat.endswith("  previous:\n  - sha256: z\n    valid_until: 2026-01-01T00:00:00Z\n")
    deep = splice.append("keys:\n    - id: a\n", ("keys",), entry)
    assert deep.endswith(
        "      previous:\n          - sha256: z\n            valid_until: 2026-01-01T00:00:00Z\n"
    )


@pytest.mark.parametrize(
    ("text", "path"),
    [("a: [1]\n", ("a", "b")), ("a: 1\n", ("a", "b")), ("a: |+\n  text\n\n\nb: 1\n", ("a", 0))],
)
def test_what_cannot_be_edited_is_refused(text: str, path: tuple[Any, ...]) -> None:
    with pytest.raises(EditError, match="edit it by hand"):
        splice.set_value(text, path, 1)
    with pytest.raises(EditError, match="edit it by hand"):
        splice.remove(text, path)


@pytest.mark.parametrize("file", sorted(POLICIES.rglob("*.yaml")), ids=lambda file: file.name)
def test_any_value_of_the_example_can_be_set_and_removed_alone(file: Path) -> None:
    text = file.read_text()
    document = Document(file.name, text)
    data = document.read().data
    for path in [path for path in document.marks.values if path]:
        assert len(changed(text, splice.remove(text, path))) >= 1
        value = data
        for step in path:
            value = value[step]
        if not isinstance(value, dict | list):
            line = document.marks.values[path].line - 1
            edited = splice.set_value(text, path, "other")
            before, after = text.splitlines(), edited.splitlines()
            assert len(before) == len(after)
            assert [
                n for n, pair in enumerate(zip(before, after, strict=True)) if pair[0] != pair[1]
            ] == [line]


def test_what_gets_too_long_for_a_line_goes_below_its_key_as_it_was_written() -> None:
    flow = (
        "org:\n  x: 1\nkeys:\n  - id: a\n    limits: {requests_per_minute: 60,  "
        "tokens_per_minute: 200_000, monthly_spend_usd: 2.50}  # why\n"
    )
    assert splice.set_value(flow, ("keys", 0, "limits", "daily_spend_usd"), 3) == (
        "org:\n  x: 1\nkeys:\n  - id: a\n    limits:  # why\n      requests_per_minute: 60\n"
        "      tokens_per_minute: 200_000\n      monthly_spend_usd: 2.50\n"
        "      daily_spend_usd: 3\n"
    )
    models = [f"model-{number}" for number in range(9)]
    text = f"a: {{x: [{', '.join(models)}]}}\nallowed_models: [{', '.join(models)}]\n"
    assert splice.append(text, ("allowed_models",), "model-9").endswith(
        "\nallowed_models:\n  - model-0\n  - model-1\n  - model-2\n  - model-3\n  - model-4\n"
        "  - model-5\n  - model-6\n  - model-7\n  - model-8\n  - model-9\n"
    )
    # Inside another it can only stay.
    assert ", model-8, model-9]}\n" in splice.append(text, ("a", "x"), "model-9")


def test_any_text_is_written_so_that_yaml_reads_the_same() -> None:
    for text in ("a\x7fb", "\x85", "\u2028x\u2029", "\ufeff", "😀\n", "é: #", "null", "\t", "\\u"):
        assert Document("", splice.set_value("a: 1\n", ("a",), text)).read().data == {"a": text}
    assert splice.set_value("a: 1\n", ("a",), {"b": None}) == "a: {b: null}\n"
