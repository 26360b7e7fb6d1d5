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


@pytest.mark.parametrize(
    ("seconds", "milliseconds"),
    [(9, 9000), (1.001, 1001), (8.470000267, 8470), (0, 0), (1e300, None), (-1, None), ("9", None)],
)
def test_seconds_are_milliseconds_to_the_nearest(
    modules: Modules, seconds: object, milliseconds: int | None
) -> None:
    body = {"text": "x", "usage": {"type": "duration", "seconds": seconds}}
    counts = from_body(modules, body, "audio/transcriptions")
    assert counts == (None if milliseconds is None else {"audio_milliseconds": milliseconds})


@pytest.mark.parametrize(
    ("said", "tier"),
    [
        ("flex", b"flex"),
        ("on_demand", b"on_demand"),
        (None, None),
        (5, None),
        ("", b"other"),
        ("A" * 5, b"other"),
        ("a" * 21, b"other"),
        ('a"b', b"other"),
    ],
)
def test_a_service_tier_is_a_word(modules: Modules, said: object, tier: bytes | None) -> None:
    counts = from_body(modules, {"service_tier": said, "usage": {"prompt_tokens": 1}})
    assert counts.get("service_tier") == tier


@pytest.mark.parametrize("items", [0, 1, 2, 5])
def test_pictures_are_the_items_of_data(modules: Modules, items: int) -> None:
    body = {"created": 1, "data": [{"b64_json": "a,b", "x": [1, 2]}] * items}
    assert from_body(modules, body, "images/generations") == {"images": items}


@pytest.mark.parametrize("data", [None, {"a": 1, "b": 2}, "x,y", 5])
def test_data_that_is_no_array_has_no_pictures(modules: Modules, data: object) -> None:
    assert from_body(modules, {"created": 1, "data": data}, "images/generations") is None
