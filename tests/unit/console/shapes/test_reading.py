"""Requests are read into shapes or refused in a sentence, whatever the bytes; money stays exact."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.problems import ManageError
from console.shapes.base import Shape
from console.shapes.keys import KeyBlock, KeyCreate, KeyPatch, KeyQuery, KeyView
from console.shapes.levels import ProjectCreate, TeamCreate, TeamPatch
from console.shapes.limits import Limits
from console.shapes.models import ModelCreate, ModelPatch
from console.shapes.reading import MOST_BYTES, read_body, read_fields, refuse
from console.shapes.tokens import TokenCreate
from tollhouse.money import nano_to_usd, usd_to_nano
from tollhouse.policy.files import LimitsFile
from tollhouse.policy.model_files import ModelFile

SHAPES = [KeyCreate, KeyPatch, TeamCreate, TeamPatch, ProjectCreate, ModelCreate, ModelPatch]
KEY = '"team": "a", "project": "b"'
MODEL = '"alias": "a", "provider": "b", "model": "c"'


def refused(shape: type[Shape], body: bytes | str) -> tuple[str, str | None, str]:
    with pytest.raises(ManageError) as error:
        read_body(shape, body.encode() if isinstance(body, str) else body)
    return error.value.code, error.value.param, error.value.message


@pytest.mark.parametrize(
    ("body", "param", "said"),
    [
        ("{", None, "the body is not JSON: line 1, column 2"),
        ("[]", None, "the body must be an object, not a list"),
        (b'{"team": "\xff"}', None, "the body is not UTF-8 text"),
        ('{"a": 1, "a": 1}', None, "the body names a field twice"),
        ("[" * 100_000, None, "the body is nested too deeply"),
        ('{"a":' * 20 + "1" + "}" * 20, None, "the body is nested too deeply"),
        ('{"a": NaN}', None, "the body is not JSON: NaN is no number of it"),
        ('{"a": -Infinity}', None, "the body is not JSON: -Infinity is no number of it"),
        ('{"a": 1' + "0" * 5000 + "}", None, "the body holds a number that is too long"),
        ('{"team": "a"}', "project", "the field 'project' is missing"),
        (f'{{{KEY}, "limit": {{}}}}', "limit", "unknown field 'limit': did you mean 'limits'?"),
        (
            f'{{{KEY}, "limits": {{"requests_per_minut": 1}}}}',
            "limits.requests_per_minut",
            "unknown field 'limits.requests_per_minut': did you mean 'requests_per_minute'?",
        ),
        ('{"team": 5, "project": "b"}', "team", "'team' must be text, not a number"),
        (f'{{{KEY}, "limits": null}}', "limits", "'limits' is null: give a value, or leave it out"),
        (
            f'{{{KEY}, "limits": {{"requests_per_minute": 0}}}}',
            "limits.requests_per_minute",
            "'limits.requests_per_minute' must be at least 1",
        ),
        (
            f'{{{KEY}, "limits": {{"requests_per_minute": 1.5}}}}',
            "limits.requests_per_minute",
            "'limits.requests_per_minute' must be a whole number, not a number with a point",
        ),
        (
            f'{{{KEY}, "limits": {{"requests_per_minute": 1{"0" * 30}}}}}',
            "limits.requests_per_minute",
            "must be at most 1000000000000",
        ),
        *(
            (
                f'{{{KEY}, "limits": {{"monthly_spend_usd": {amount}}}}}',
                "limits.monthly_spend_usd",
                said,
            )
            for amount, said in [
                ("1e400", "must be USD, 0 or more, with at most nine decimals"),
                ("-1", "must be USD, 0 or more, with at most nine decimals"),
                ("0.0000000001", "must be USD, 0 or more, with at most nine decimals"),
                ('"1_0"', "must be USD, 0 or more, with at most nine decimals"),
                ('"NaN"', "must be USD, 0 or more, with at most nine decimals"),
                ("true", "must be a number, not true or false"),
                ("4000000.000000001", "must be at most 4000000"),
            ]
        ),
        (
            '{"team": "a\\u0000", "project": "b"}',
            "team",
            "'team' must be letters, digits, '.', '_' or '-'",
        ),
        (f'{{{KEY}, "id": "tlh_x"}}', "id", "'id' looks like a key, and ids are logged"),
        (
            f'{{{KEY}, "metadata": {{"x": 1e400}}}}',
            "metadata.x",
            "must be a number up to 2**53 with at most nine decimals",
        ),
        (
            f'{{{KEY}, "metadata": {{"x": 9007199254740993}}}}',
            "metadata.x",
            "must be a number up to 2**53",
        ),
        (
            f'{{{KEY}, "metadata": {{"x": []}}}}',
            "metadata.x",
            "must be text, a number, true or false",
        ),
        *(
            (
                f'{{{KEY}, "metadata": {{"x": "{text}"}}}}',
                "metadata.x",
                "'metadata.x' looks like a key",
            )
            for text in ("sk-x", "tlh_x", " tlm_x", "found tlh_aKeyThatNobodyHas1 in a log")
        ),
        (f'{{{KEY}, "metadata": {{"x": "a\\nb"}}}}', "metadata.x", "must be one line of 1 to 200"),
        (
            f'{{{KEY}, "allowed_models": ["{"m" * 161}"]}}',
            "allowed_models.0",
            "must be a name, tag:NAME, group:NAME or a pattern, at most 160",
        ),
        (
            f'{{{KEY}, "allowed_models": {json.dumps(["m"] * 1001)}}}',
            "allowed_models",
            "has too many: at most 1000",
        ),
        (f'{{{KEY}, "expires": 5}}', "expires", "must be a date, a time such as 2030-12-31"),
        (f'{{{KEY}, "team": "x", "project": []}}', None, "the body names a field twice"),
    ],
)
def test_what_is_wrong_with_a_key_is_said_in_a_sentence(
    body: bytes | str, param: str | None, said: str
) -> None:
    code, found, message = refused(KeyCreate, body)
    assert (code, found) == ("invalid_request", param)
    assert said in message


@pytest.mark.parametrize(
    ("fields", "param", "said"),
    [
        ('"endpoints": ["x"]', "endpoints.0", "must be 'chat/completions', 'completions', "),
        ('"endpoints": []', "endpoints", "needs at least 1"),
        ('"endpoints": ["embeddings", "embeddings"]', "endpoints", "names one twice"),
        ('"defaults": {"model": "x"}', "defaults.model", "cannot have a default"),
        ('"defaults": {"x": null}', "defaults.x", "must be a value that JSON knows"),
        ('"defaults": {"x": ["\\ud800"]}', "defaults.x", "text that a file can hold"),
        ('"defaults": {"x": {"\\ud800": 1}}', "defaults.x", "text that a file can hold"),
        ('"defaults": {"x": [1e400]}', "defaults.x", "must be a"),
        ('"price": {"input": 1}', "price.input", "unknown field"),
        ('"price": {"input_per_million": 10001, "output_per_million": 1}', None, "at most 10000"),
    ],
)
def test_what_is_wrong_with_a_model_is_said_in_a_sentence(
    fields: str, param: str | None, said: str
) -> None:
    code, found, message = refused(ModelCreate, f"{{{MODEL}, {fields}}}")
    assert (code, found) == ("invalid_request", param or "price.input_per_million")
    assert said in message


def test_a_body_that_is_too_large_is_not_read() -> None:
    assert refused(KeyCreate, b'"' + b"x" * MOST_BYTES)[0] == "request_too_large"


def test_what_looks_like_a_key_is_not_repeated() -> None:
    secret = "sk-or-tlh_whatever1234567890"
    for body in (f'{{{KEY}, "{secret}": 1}}', f'{{{KEY}, "metadata": {{"{secret}!": 1}}}}'):
        assert secret not in str(refused(KeyCreate, body))
    assert secret not in str(refused(KeyCreate, f'{{"team": "{secret}!", "project": "b"}}'))


def test_no_key_is_the_reason_of_a_block() -> None:
    body = b'{"reason": "pasted sk-proj-abcdefghijklmnop into a chat"}'
    assert refused(KeyBlock, body)[1] == "reason"
    assert read_body(KeyBlock, b'{"reason": "risk-averse, task-tlh_1"}').reason


def test_where_there_is_no_body_at_all_one_is_asked_for() -> None:
    with pytest.raises(ManageError) as error:
        refuse(KeyCreate, [{"type": "missing", "loc": (), "input": None}])
    assert error.value.message == "the body is empty: send a JSON object"


def test_all_fields_that_are_wrong_are_named_and_five_at_most() -> None:
    body = '{"team": 5, "project": 5, "metadata": {"x": [], "y": {}}}'
    assert refused(KeyCreate, body)[2] == (
        "'team' must be text, not a number (also wrong: 'project', 'metadata.x', 'metadata.y')"
    )
    unknown = ", ".join(f'"{name}": 1' for name in "abcdefgh")
    body = f"{{{KEY}, {unknown}}}"
    assert refused(KeyCreate, body)[2].endswith("(also wrong: 'b', 'c', 'd', 'e', 'f' and 2 more)")


def test_an_empty_body_is_an_empty_object() -> None:
    assert read_body(KeyPatch, b" \n").asked == {}
    assert read_body(KeyPatch, b'{"expires": null}').asked == {"expires": None}


def test_limits_and_models_have_every_field_of_the_policy() -> None:
    assert list(Limits.model_fields) == list(LimitsFile.model_fields)
    assert set(ModelCreate.model_fields) == {"alias", *ModelFile.model_fields}
    assert set(ModelPatch.model_fields) == set(ModelFile.model_fields)


def test_queries_are_read_from_text() -> None:
    assert read_fields(KeyQuery, {"limit": "7"}).limit == 7
    for limit in ("0", "501", "x", "9" * 5000):
        with pytest.raises(ManageError) as error:
            read_fields(KeyQuery, {"limit": limit})
        assert error.value.param == "limit"


@given(st.integers(0, 4_000_000 * 10**9), st.booleans())
def test_amounts_are_exact_to_the_nano_dollar_both_ways(nano: int, as_text: bool) -> None:
    usd = nano_to_usd(nano)
    limits = read_body(
        Limits, f'{{"daily_spend_usd": {json.dumps(usd) if as_text else usd}}}'.encode()
    )
    assert limits.daily_spend_usd is not None
    assert usd_to_nano(limits.daily_spend_usd) == nano
    shown = json.loads(limits.model_dump_json(exclude_none=True), parse_float=Decimal)
    assert usd_to_nano(shown["daily_spend_usd"]) == nano


@given(st.sampled_from(SHAPES), st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(shape: type[Shape], body: bytes) -> None:
    try:
        read_body(shape, body)
    except ManageError as error:
        assert error.status in (400, 413)


_names = st.sampled_from([name for shape in SHAPES for name in shape.model_fields])
_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(_names | st.text(), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.sampled_from([*SHAPES, TokenCreate]), st.dictionaries(_names, _values))
def test_any_json_is_read_or_refused(shape: type[Shape], fields: dict[str, Any]) -> None:
    try:
        read = read_body(shape, json.dumps(fields).encode())
    except ManageError as error:
        assert (error.code, error.status) == ("invalid_request", 400)
        assert error.message.isprintable()
    else:
        read.model_dump_json()


@pytest.mark.parametrize("shape", [*SHAPES, TokenCreate, KeyView])
def test_every_shape_has_a_schema_in_which_no_field_is_without_words(shape: type[Shape]) -> None:
    for mode in ("validation", "serialization"):
        schema = shape.model_json_schema(mode=mode)  # type: ignore[arg-type]
        assert schema["additionalProperties"] is False
        assert schema["description"]
