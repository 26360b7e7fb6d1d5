"""POST /audio/speech: platform.openai.com/docs/api-reference/audio/createSpeech.

A character of input is 64 bytes of audio. The `tts-…` models bill characters; others bill tokens:
input a quarter of its UTF-8 bytes, output one audio token for each started 1,024 bytes. Only
events report them, for binary audio has no place for it.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator

from tollhouse.simulator.call import Call
from tollhouse.simulator.openai import chat_answer, errors, fields
from tollhouse.simulator.reply import EVENTS, Charge, Part, Reply, compact
from tollhouse.simulator.usage import Counts, text_tokens

_BYTES_A_CHARACTER = 64
_BYTES_A_TOKEN = 1024
_MAX_CHARACTERS = 4096  # the real API's
_TYPES = {
    "mp3": b"audio/mpeg",
    "opus": b"audio/opus",
    "aac": b"audio/aac",
    "flac": b"audio/flac",
    "wav": b"audio/wav",
    "pcm": b"audio/pcm",
}


def answer(call: Call) -> Reply:
    """One call."""
    data = fields.read_object(call.body)
    model = fields.read_model(data)
    call.check_model(model)
    text = fields.read_text(data, "input")
    fields.read_text(data, "voice")
    if len(text) > _MAX_CHARACTERS:
        raise errors.too_long("input", _MAX_CHARACTERS, len(text))
    media_type = _TYPES.get(fields.read_optional(data, "response_format", "mp3"))
    if media_type is None:
        raise errors.invalid_choice("response_format", data["response_format"], _TYPES)
    audio = (b"\xff\xf3\x84\xc4" * (_BYTES_A_CHARACTER // 4)) * len(text)
    pieces = [audio[at : at + _BYTES_A_TOKEN] for at in range(0, len(audio), _BYTES_A_TOKEN)]
    counts = _counts(model, text, len(pieces))
    charge = Charge(model, counts)
    if fields.read_optional(data, "stream_format", "audio") != "sse":
        return Reply(_binary(pieces, counts), media_type, charge=charge, contents=len(pieces))
    return Reply(
        _events(call, pieces, counts),
        EVENTS,
        charge=charge,
        contents=len(pieces),
        failure=lambda _sent: chat_answer.failure(call),
    )


def _counts(model: str, text: str, pieces: int) -> Counts:
    if model.startswith("tts-"):
        return Counts(characters=len(text))
    return Counts(
        input_tokens=text_tokens((text,)), output_tokens=pieces, output_audio_tokens=pieces
    )


def _binary(pieces: list[bytes], counts: Counts) -> Iterator[Part]:
    token = 1 if counts.output_tokens else 0
    return (Part(piece, token, content=True) for piece in pieces)


def _events(call: Call, pieces: list[bytes], counts: Counts) -> Iterator[Part]:
    token = 1 if counts.output_tokens else 0
    for piece in pieces:
        delta = {"type": "speech.audio.delta", "audio": base64.b64encode(piece).decode()}
        yield Part(f"data: {compact(delta)}\n\n".encode(), token, content=True)
    usage = {
        "input_tokens": counts.input_tokens,
        "output_tokens": counts.output_tokens,
        "total_tokens": counts.total_tokens,
    }
    counted = {} if call.asked.no_usage else {"usage": usage}
    yield Part(f"data: {compact({'type': 'speech.audio.done', **counted})}\n\n".encode())
