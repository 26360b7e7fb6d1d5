"""OpenAI's Python SDK beyond chat: Responses, and the smaller endpoints."""

from __future__ import annotations

import json

from tests.clients.billed import assert_billed
from tests.clients.client import WORDS, Client

CLIENT = "openai_python"

# Responses


def test_a_response_has_the_alias_as_its_model(client: Client) -> None:
    outcome = client.run("respond")
    assert (outcome.got["model"], outcome.got["text"]) == ("responses", WORDS)
    assert_billed(outcome, "responses")


def test_a_streamed_response_runs_from_created_to_completed(client: Client) -> None:
    outcome = client.run("respond_stream")
    assert outcome.got["kinds"][0] == "response.created"
    assert outcome.got["kinds"][-1] == "response.completed"
    assert outcome.got["text"] == WORDS
    assert outcome.got["models"] == ["responses"]
    assert_billed(outcome, "responses")


def test_a_response_follows_its_previous_one(client: Client) -> None:
    outcome = client.run("respond_again", calls=2)
    assert outcome.got["previous"] == outcome.got["first"]
    assert_billed(outcome, "responses")


def test_a_stored_response_is_read_deleted_and_then_gone(client: Client) -> None:
    outcome = client.run("respond_stored", calls=4)
    assert outcome.got["read"] == outcome.got["made"]
    assert outcome.got["model"] == "responses"
    assert outcome.got["gone"] == 404
    assert [line["status"] for line in outcome.calls] == [200, 200, 200, 404]
    assert {line["key_id"] for line in outcome.calls} == {"app"}
    assert outcome.bill["requests"] == 1


def test_a_function_of_a_response_is_called_and_its_output_is_answered(client: Client) -> None:
    outcome = client.run("respond_tools", calls=2)
    assert outcome.got["name"] == "get_weather"
    assert list(json.loads(outcome.got["arguments"])) == ["place", "celsius"]
    assert outcome.got["text"] == WORDS
    assert_billed(outcome, "responses")


def test_the_structured_output_of_a_response_keeps_its_order(client: Client) -> None:
    outcome = client.run("respond_structured")
    assert list(outcome.got) == ["steps", "final_answer"]
    schema = outcome.sent["text"]["format"]["schema"]
    assert list(schema["$defs"]["Step"]["properties"]) == ["zeta", "alpha"]
    assert_billed(outcome, "responses")


# The smaller endpoints


def test_a_legacy_completion_is_answered(client: Client) -> None:
    outcome = client.run("completion")
    assert outcome.got["model"] == "instruct"
    assert outcome.got["text"]
    assert_billed(outcome, "instruct")


def test_a_text_is_moderated(client: Client) -> None:
    outcome = client.run("moderate")
    assert outcome.got == {"model": "moderate", "flagged": False}
    assert_billed(outcome, "moderate", source="estimated")


def test_speech_arrives_as_sound_and_is_billed_by_character(client: Client) -> None:
    outcome = client.run("speak")
    assert outcome.got["bytes"] > 0
    assert outcome.got["type"].startswith("audio/")
    [line] = outcome.calls
    assert line["usage"]["characters"] == len("Say hello")
    assert_billed(outcome, "speak", source="estimated")


def test_a_sound_file_is_transcribed_and_billed_by_its_length(client: Client) -> None:
    outcome = client.run("transcribe")
    assert outcome.got["text"]
    assert outcome.received[0].path.endswith("/v1/audio/transcriptions")
    assert b"whisper-1" in outcome.received[0].body
    assert_billed(outcome, "transcribe")


def test_a_sound_file_is_translated(client: Client) -> None:
    outcome = client.run("translate")
    assert outcome.got["text"]
    assert outcome.received[0].path.endswith("/v1/audio/translations")
    [line] = outcome.calls
    assert line["usage"]["usage_source"] == "estimated"
    assert line["usage"]["audio_milliseconds"] >= 2000


def test_images_are_drawn_and_billed(client: Client) -> None:
    outcome = client.run("draw")
    assert len(outcome.got["images"]) == 2
    assert_billed(outcome, "draw")


def test_an_image_is_edited_from_a_form(client: Client) -> None:
    outcome = client.run("redraw")
    assert len(outcome.got["images"]) == 1
    assert b"gpt-image-1" in outcome.received[0].body
    assert_billed(outcome, "draw")
