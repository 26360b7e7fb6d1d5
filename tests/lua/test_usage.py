"""envoy/lua/usage.lua: token counts from a provider's answer."""

import json
from typing import Any

import pytest

from tests.lua.modules import Modules

CHAT = {
    "prompt_tokens": 12,
    "completion_tokens": 7,
    "total_tokens": 19,
    "prompt_tokens_details": {"cached_tokens": 3},
    "completion_tokens_details": {"reasoning_tokens": 2},
}
RESPONSES = {
    "input_tokens": 12,
    "output_tokens": 7,
    "input_tokens_details": {"cached_tokens": 3},
    "output_tokens_details": {"reasoning_tokens": 2},
}
COUNTS = {
    "input_tokens": 12,
    "output_tokens": 7,
    "cached_input_tokens": 3,
    "reasoning_tokens": 2,
}


def from_body(modules: Modules, body: object, endpoint: str = "chat/completions") -> Any:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    usage, _ = modules.call("usage", "from_body", text, endpoint)
    return usage


@pytest.mark.parametrize("reported", [CHAT, RESPONSES])
def test_counts_are_read_under_either_set_of_names(
    modules: Modules, reported: dict[str, Any]
) -> None:
    assert from_body(modules, {"choices": [{}], "usage": reported}) == COUNTS


@pytest.mark.parametrize(
    ("reported", "output"),
    [
        # As xAI reports: 10,120 + 1,499 + 2,809 are 14,428.
        ({"completion_tokens": 1499, "prompt_tokens": 10120, "total_tokens": 14428}, 4308),
        # As Gemini does behind some adapters: what it thought is in the total alone.
        ({"completion_tokens": 0, "prompt_tokens": 21, "total_tokens": 81}, 60),
        ({"prompt_tokens": 21, "total_tokens": 81}, 60),
        ({"prompt_tokens": 21, "total_tokens": 21}, 0),
        ({"completion_tokens": 7, "prompt_tokens": 21, "total_tokens": 5}, 7),
        ({"completion_tokens": 7, "prompt_tokens": 21, "total_tokens": "81"}, 7),
    ],
)
def test_what_the_total_has_beyond_the_prompt_is_output(
    modules: Modules, reported: dict[str, Any], output: int
) -> None:
    assert from_body(modules, {"usage": reported})["output_tokens"] == output


def test_usage_is_found_first_last_and_after_its_name_elsewhere(modules: Modules) -> None:
    assert from_body(modules, {"usage": CHAT, "id": "x"}) == COUNTS
    assert from_body(modules, {"tools": [{"usage": {"prompt_tokens": 1}}], "usage": CHAT}) == COUNTS
    assert from_body(modules, {"object": "usage", "usage": CHAT}) == COUNTS


def test_usage_that_is_not_at_the_top_level_does_not_count(modules: Modules) -> None:
    assert from_body(modules, {"tools": [{"usage": CHAT}]}) is None


@pytest.mark.parametrize("usage", [None, [], "x", 5, {}, {"total_tokens": 5}])
def test_usage_without_input_or_output_is_no_usage(modules: Modules, usage: object) -> None:
    assert from_body(modules, {"usage": usage}) is None


@pytest.mark.parametrize("count", [-1, 1.5, "7", None, [], {}, True, 2**60])
def test_a_count_that_is_not_a_non_negative_integer_is_missing(
    modules: Modules, count: object
) -> None:
    reported = {
        "prompt_tokens": 4,
        "completion_tokens": count,
        "prompt_tokens_details": {"cached_tokens": count},
    }
    assert from_body(modules, {"usage": reported}) == {"input_tokens": 4}


@pytest.mark.parametrize("details", [None, 5, "x", []])
def test_details_of_another_type_are_passed_over(modules: Modules, details: object) -> None:
    reported = {"prompt_tokens": 4, "prompt_tokens_details": details}
    assert from_body(modules, {"usage": reported}) == {"input_tokens": 4}


@pytest.mark.parametrize("body", [b"", b"usage", b'{"usage":{"prompt_tokens":1}', b'["usage"]'])
def test_an_answer_that_is_cut_off_or_not_json_gives_no_usage(
    modules: Modules, body: bytes
) -> None:
    assert from_body(modules, body) is None
