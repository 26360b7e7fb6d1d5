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


# What is first said of a call


def first(
    modules: Modules, endpoint: str, reserved: dict[str, Any] | None = None, **facts: str
) -> Any:
    request = {"endpoint": endpoint, "text_bytes": "40", "media_parts": "0", **facts}
    said = estimate(modules, "first", request, reserved)
    return {**said, "usage_source": said["usage_source"].decode()}


@pytest.mark.parametrize("endpoint", ["chat/completions", "completions", "responses", "messages"])
def test_what_generates_text_is_first_taken_for_what_was_reserved_or_for_a_streams_beginning(
    modules: Modules, endpoint: str
) -> None:
    reserved = {"input_tokens": 900, "output_tokens": 500}
    estimated = {"usage_source": "estimated", "input_tokens": 10}
    assert first(modules, endpoint, reserved) == {**estimated, "output_tokens": 500}
    assert first(modules, endpoint, reserved, stream="true") == {**estimated, "output_tokens": 32}
    assert first(modules, endpoint, None) == {**estimated, "output_tokens": 32}


@pytest.mark.parametrize("endpoint", ["embeddings", "moderations"])
def test_what_only_reads_has_no_output(modules: Modules, endpoint: str) -> None:
    said = first(modules, endpoint, {"input_tokens": 900, "output_tokens": 0})
    assert (said["input_tokens"], said["output_tokens"]) == (10, 0)


def test_parts_are_as_reserved_and_never_more_than_their_total(modules: Modules) -> None:
    reserved = {"input_tokens": 900, "output_tokens": 500, "cache_write_1h_tokens": 900}
    said = first(modules, "messages", {**reserved, "cache_write_tokens": 900})
    assert said["cache_write_1h_tokens"] == said["input_tokens"] == 10
    assert said["cache_write_tokens"] == 0


def test_media_in_a_body_of_text_are_parts_as_far_as_they_are_input(modules: Modules) -> None:
    reserved = {"input_tokens": 90_000, "output_tokens": 5, "input_image_tokens": 48_000}
    said = first(modules, "chat/completions", reserved, media_parts="2", text_bytes="4000")
    assert (said["input_tokens"], said["input_image_tokens"]) == (1170, 170)


def test_what_continues_a_stored_response_is_taken_for_what_was_reserved(modules: Modules) -> None:
    reserved = {"input_tokens": 128_000, "output_tokens": 500}
    said = first(modules, "responses", reserved, stream="true", previous_response_id="resp_1")
    assert (said["input_tokens"], said["output_tokens"]) == (128_000, 32)
    assert first(modules, "responses", reserved, previous_response_id="none")["input_tokens"] == 10


def test_sound_and_pictures_are_taken_for_what_was_reserved(modules: Modules) -> None:
    reserved = {"input_tokens": 900, "output_tokens": 500, "output_image_tokens": 450, "images": 2}
    assert first(modules, "images/generations", reserved, n="2") == {
        **reserved,
        "usage_source": "estimated",
    }
    heard = {"input_tokens": 70, "input_audio_tokens": 60, "audio_milliseconds": 1000}
    said = first(modules, "audio/transcriptions", heard, audio_bytes="5000")
    assert said == {**heard, "usage_source": "estimated", "output_tokens": 0}


def test_units_are_counted_from_the_request(modules: Modules) -> None:
    assert first(modules, "images/edits", None, n="3")["images"] == 3
    heard = first(modules, "audio/translations", None, audio_bytes="1001")
    assert heard["audio_milliseconds"] == 1335
    assert first(modules, "audio/speech", None, characters="17")["characters"] == 17
    for documents, searches in (("1", 1), ("100", 1), ("101", 2)):
        assert first(modules, "rerank", None, documents=documents)["search_units"] == searches
    assert "images" not in first(modules, "chat/completions", None, n="3")


@pytest.mark.parametrize(
    ("endpoint", "facts"),
    [
        ("chat/completions", {"text_bytes": "0", "media_parts": "0", "stream": "false"}),
        ("responses", {"previous_response_id": "none", "text_bytes": "0", "media_parts": "0"}),
        ("images/generations", {"n": "1", "text_bytes": "0", "media_parts": "0"}),
        ("audio/speech", {"characters": "0", "text_bytes": "0", "media_parts": "0"}),
        ("rerank", {"documents": "0", "text_bytes": "0", "media_parts": "0"}),
    ],
)
def test_a_fact_that_is_not_told_has_its_default(
    modules: Modules, endpoint: str, facts: dict[str, str]
) -> None:
    told = estimate(modules, "first", {"endpoint": endpoint, **facts}, None)
    assert estimate(modules, "first", {"endpoint": endpoint}, None) == told


@pytest.mark.parametrize(
    ("endpoint", "source"),
    [("messages/count_tokens", "none"), ("responses/id", "none"), ("files", "rule")],
)
def test_what_is_not_billed_by_use_has_no_counts(
    modules: Modules, endpoint: str, source: str
) -> None:
    said = first(modules, endpoint, {"input_tokens": 900})
    assert said == {"usage_source": source, "input_tokens": 0, "output_tokens": 0}
