"""Speech, transcriptions, translations and images."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.simulator.simulator_process import KEY, Simulator, events_of

TWO_SECONDS = b"\0" * 16_001
SPEECH = {"model": "gpt-4o-mini-tts", "input": "a" * 20, "voice": "alloy"}


@pytest.fixture
def client(simulator: Simulator) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{simulator.url}/v1", api_key=KEY, max_retries=0) as client:
        yield client


def transcribe(simulator: Simulator, simulate: str = "", task: str = "transcriptions", **form: Any):
    data = {"model": "gpt-4o-transcribe"} | form
    files = {"file": ("a.mp3", TWO_SECONDS, "audio/mpeg")}
    return simulator.post(f"/v1/audio/{task}", simulate, data=data, files=files)


def test_speech_is_64_bytes_a_character(simulator, client):
    audio = client.audio.speech.create(**SPEECH)
    assert len(audio.content) == 20 * 64
    assert audio.response.headers["content-type"] == "audio/mpeg"
    assert simulator.billed() == {
        "input_tokens": 5,
        "output_tokens": 2,
        "output_audio_tokens": 2,
    }


def test_the_older_speech_models_bill_characters(simulator):
    body = SPEECH | {"model": "tts-1", "input": "äöü", "response_format": "wav"}
    answer = simulator.post("/v1/audio/speech", json=body)
    assert answer.headers["content-type"] == "audio/wav"
    assert simulator.billed() == {"characters": 3}


def test_speech_can_come_in_events_with_usage(simulator):
    body = SPEECH | {"stream_format": "sse"}
    *deltas, done = [
        data for _, data in events_of(simulator.post("/v1/audio/speech", json=body).text)
    ]
    assert sum(len(base64.b64decode(delta["audio"])) for delta in deltas) == 20 * 64
    assert done == {
        "type": "speech.audio.done",
        "usage": {"input_tokens": 5, "output_tokens": 2, "total_tokens": 7},
    }


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"input": None}, "input"),
        ({"voice": None}, "voice"),
        ({"input": "a" * 4097}, "input"),
        ({"response_format": "midi"}, "response_format"),
    ],
)
def test_a_wrong_speech_is_refused_by_name(simulator, change, param):
    answer = simulator.post("/v1/audio/speech", json=SPEECH | change)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


def test_speech_that_breaks_off_is_billed_to_there(simulator):
    with pytest.raises(Exception, match="closed"):
        simulator.post("/v1/audio/speech", "abort_after=1", json=SPEECH)
    assert simulator.billed()["output_audio_tokens"] == 1


def test_a_transcription_bills_tokens(simulator, client):
    text = client.audio.transcriptions.create(
        model="gpt-4o-transcribe", file=("a.mp3", TWO_SECONDS), prompt="hello"
    )
    assert text.text.startswith("tok1 tok2 ")
    assert text.usage.to_dict() == {
        "type": "tokens",
        "input_tokens": 22,
        "input_token_details": {"text_tokens": 2, "audio_tokens": 20},
        "output_tokens": 12,
        "total_tokens": 34,
    }
    assert simulator.billed() == {
        "input_tokens": 22,
        "input_audio_tokens": 20,
        "output_tokens": 12,
    }


def test_whisper_bills_started_seconds(simulator):
    body = transcribe(simulator, model="whisper-1", response_format="verbose_json").json()
    assert body["usage"] == {"type": "duration", "seconds": 2}
    assert body["duration"] == pytest.approx(1.00006, abs=1e-4)
    assert body["segments"][0]["text"] == body["text"]
    assert simulator.billed() == {"audio_milliseconds": 2000}


@pytest.mark.parametrize(
    ("kind", "begin"), [("text", "tok1 "), ("srt", "1\n00:00:00,000 --> "), ("vtt", "WEBVTT\n")]
)
def test_other_formats_are_plain_text_without_usage(simulator, kind, begin):
    answer = transcribe(simulator, model="whisper-1", response_format=kind)
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.text.startswith(begin)
    assert simulator.billed() == {"audio_milliseconds": 2000}


def test_a_translation_reports_no_usage_and_is_billed(simulator):
    assert list(transcribe(simulator, task="translations", model="whisper-1").json()) == ["text"]
    assert simulator.billed() == {"audio_milliseconds": 2000}


def test_a_transcription_streams_with_usage_in_its_last_event(simulator, client):
    stream = client.audio.transcriptions.create(
        model="gpt-4o-transcribe", file=("a.mp3", TWO_SECONDS), stream=True
    )
    *deltas, done = list(stream)
    assert [event.type for event in deltas] == ["transcript.text.delta"] * 12
    assert (done.type, done.usage.total_tokens) == ("transcript.text.done", 32)
    assert "usage" not in transcribe(simulator, "no_usage", stream="true").text


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"json": {}}, "Could not parse multipart form"),
        ({"data": {"model": "m"}, "files": {"other": b"x"}}, "Missing required parameter: 'file'."),
        ({"data": {"x": "y"}, "files": {"file": b"x"}}, "you must provide a model parameter"),
        (
            {"data": {"model": "m", "response_format": "midi"}, "files": {"file": b"x"}},
            "Invalid value: 'midi'. Supported values are: 'json', 'verbose_json', 'text', 'srt', "
            "'vtt'.",
        ),
    ],
)
def test_a_wrong_form_is_refused(simulator, request_, message):
    answer = simulator.post("/v1/audio/transcriptions", **request_)
    assert (answer.status_code, answer.json()["error"]["message"]) == (400, message)


def test_images_of_tokens_are_counted_by_quality_and_size(simulator, client):
    made = client.images.generate(
        model="gpt-image-1", prompt="hello", n=2, quality="high", size="1536x1024"
    )
    assert made.usage is not None
    assert made.usage.to_dict() == {
        "total_tokens": 2 * 6208 + 2,
        "input_tokens": 2,
        "output_tokens": 2 * 6208,
        "input_tokens_details": {"text_tokens": 2, "image_tokens": 0},
    }
    assert base64.b64decode(str(made.data[0].b64_json)).startswith(b"\x89PNG")
    assert simulator.billed() == {
        "input_tokens": 2,
        "output_tokens": 2 * 6208,
        "output_image_tokens": 2 * 6208,
        "images": 2,
    }


@pytest.mark.parametrize(("form", "field"), [("url", "url"), ("b64_json", "b64_json")])
def test_images_by_the_piece_have_no_usage(simulator, form, field):
    body = {"model": "dall-e-3", "prompt": "hello", "response_format": form}
    answer = simulator.post("/v1/images/generations", json=body).json()
    assert list(answer) == ["created", "data"]
    assert list(answer["data"][0]) == [field]
    assert simulator.billed() == {"images": 1}


def test_an_edit_counts_the_images_it_was_given(simulator, client):
    images = [("a.png", b"png"), ("b.png", b"png")]
    client.images.edit(model="gpt-image-1", image=images, prompt="hello", n=1, quality="low")
    assert simulator.billed() == {
        "input_tokens": 2 + 2 * 85,
        "input_image_tokens": 2 * 85,
        "output_tokens": 272,
        "output_image_tokens": 272,
        "images": 1,
    }


def test_an_edit_without_an_image_is_refused(simulator):
    files = {"mask": b"png"}
    data = {"model": "gpt-image-1", "prompt": "x"}
    answer = simulator.post("/v1/images/edits", data=data, files=files)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "image")


def test_images_stream_with_usage_in_the_last_event(client):
    events = list(
        client.images.generate(model="gpt-image-1", prompt="hello", stream=True, partial_images=1)
    )
    assert [event.type for event in events] == [
        "image_generation.partial_image",
        "image_generation.completed",
    ]
    assert events[-1].usage.output_tokens == 1056


def test_an_image_can_be_large(simulator):
    body = {"model": "gpt-image-1", "prompt": "hello"}
    answer = simulator.post("/v1/images/generations", "image_bytes=300000,usage_first", json=body)
    assert list(answer.json())[1] == "usage"
    assert len(base64.b64decode(answer.json()["data"][0]["b64_json"])) == 300_000
