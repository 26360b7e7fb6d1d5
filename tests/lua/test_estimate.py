"""envoy/lua/estimate.lua: what a call is charged for while its provider has not said."""

from typing import Any

import pytest

from tests.lua.modules import Modules

AHEAD = 32
CHAT = {"endpoint": "chat/completions", "text_bytes": "9", "media_parts": "2"}
NO_LIMIT = float("inf")


def estimate(modules: Modules, function: str, *arguments: object) -> Any:
    return modules.call("estimate", function, *arguments)


def test_the_input_is_a_quarter_of_the_text_and_85_for_each_media_part(modules: Modules) -> None:
    assert estimate(modules, "input", CHAT, NO_LIMIT) == 3 + 2 * 85


@pytest.mark.parametrize(("events", "passed", "counted"), [(0, 0, 0), (5, 4, 5), (2, 41, 11)])
def test_a_stream_is_counted_and_until_it_is_done_what_is_on_its_way_too(
    modules: Modules, events: int, passed: int, counted: int
) -> None:
    assert estimate(modules, "of_stream", events, passed, True, NO_LIMIT) == counted
    assert estimate(modules, "of_stream", events, passed, False, NO_LIMIT) == counted + AHEAD


@pytest.mark.parametrize(("passed", "whole", "part"), [(0, 0, 32), (40, 10, 32), (401, 101, 101)])
def test_an_answer_that_has_not_ended_is_never_less_than_what_was_ahead(
    modules: Modules, passed: int, whole: int, part: int
) -> None:
    assert estimate(modules, "of_whole", passed, True, NO_LIMIT) == whole
    assert estimate(modules, "of_whole", passed, False, NO_LIMIT) == part


def test_an_answer_that_did_not_come_whole_is_taken_for_as_long_as_was_reserved(
    modules: Modules,
) -> None:
    assert estimate(modules, "of_whole", 0, False, 4_096) == 4_096
    assert estimate(modules, "of_whole", 900, False, 4_096) == 4_096
    assert estimate(modules, "of_whole", 900, True, 4_096) == 225


def test_no_estimate_is_above_the_reservation(modules: Modules) -> None:
    assert estimate(modules, "most", CHAT, {"input_tokens": 7, "output_tokens": 5}) == (7, 5)
    assert estimate(modules, "input", CHAT, 7) == 7
    assert estimate(modules, "of_stream", 9, 0, False, 5) == 5
    assert estimate(modules, "of_whole", 900, True, 5) == 5


def test_without_a_reservation_only_embeddings_have_a_most(modules: Modules) -> None:
    assert estimate(modules, "most", CHAT, None) == (NO_LIMIT, NO_LIMIT)
    embeddings = {**CHAT, "endpoint": "embeddings"}
    assert estimate(modules, "most", embeddings, None) == (NO_LIMIT, 0)
    assert estimate(modules, "of_whole", 900, False, 0) == 0
