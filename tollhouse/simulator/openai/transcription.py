"""POST /audio/transcriptions and /audio/translations.

platform.openai.com/docs/api-reference/audio: whisper bills whole seconds (usage of type
"duration"), others tokens (type "tokens"). A file lasts one second for each 16,000 bytes; a started
second is 10 audio tokens; a prompt costs a quarter of its UTF-8 bytes. Of a translation, and of
formats other than JSON, no usage is reported.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tollhouse.simulator.call import Call
from tollhouse.simulator.generation import Generation, generate
from tollhouse.simulator.openai import chat_answer, errors, forms
from tollhouse.simulator.reply import EVENTS, TEXT, Charge, Part, Reply, as_json, compact
from tollhouse.simulator.usage import Counts, text_tokens

_BYTES_A_SECOND = 16_000
_TOKENS_A_SECOND = 10
_FORMATS = ("json", "verbose_json", "text", "srt", "vtt")
_CUES = {
    "srt": "1\n00:00:00,000 --> 00:00:01,000\n{}\n\n",
    "vtt": "WEBVTT\n\n00:00:00.000 --> 00:00:01.000\n{}\n\n",
}


@dataclass(frozen=True, slots=True)
class _Audio:
    model: str
    length: int
    prompt: str
    by_duration: bool
    said: Generation

    @property
    def seconds(self) -> int:
        return -(-self.length // _BYTES_A_SECOND)

    @property
    def counts(self) -> Counts:
        if self.by_duration:
            return Counts(audio_milliseconds=self.seconds * 1000)
        audio = self.seconds * _TOKENS_A_SECOND
        return Counts(
            input_tokens=audio + text_tokens((self.prompt,)),
            input_audio_tokens=audio,
            output_tokens=self.said.tokens,
        )

    def usage(self) -> dict[str, Any]:
        if self.by_duration:
            return {"type": "duration", "seconds": self.seconds}
        counts = self.counts
        text = counts.input_tokens - counts.input_audio_tokens
        details = {"text_tokens": text, "audio_tokens": counts.input_audio_tokens}
        return {
            "type": "tokens",
            "input_tokens": counts.input_tokens,
            "input_token_details": details,
            "output_tokens": counts.output_tokens,
            "total_tokens": counts.total_tokens,
        }


def transcribe(call: Call) -> Reply:
    """One call of /audio/transcriptions; whisper does not stream, whatever is asked."""
    form = forms.read(call)
    audio = _audio(call, form)
    charge = Charge(audio.model, audio.counts)
    if form.fields.get("stream") == "true" and not audio.by_duration:
        return Reply(
            _events(call, audio),
            EVENTS,
            charge=charge,
            contents=audio.said.words,
            failure=lambda _sent: chat_answer.failure(call),
        )
    usage = {} if call.asked.no_usage else {"usage": audio.usage()}
    return _written(form, audio, "transcribe", usage)


def translate(call: Call) -> Reply:
    """One call of /audio/translations."""
    form = forms.read(call)
    return _written(form, _audio(call, form), "translate", {})


def _audio(call: Call, form: forms.Form) -> _Audio:
    model = form.fields.get("model")
    if not model:
        raise errors.missing_model()
    call.check_model(model)
    file = form.file("file")
    prompt = form.fields.get("prompt", "")
    by_duration = "whisper" in model
    return _Audio(model, len(file.content), prompt, by_duration, generate(call.asked, None))


def _written(form: forms.Form, audio: _Audio, task: str, usage: dict[str, Any]) -> Reply:
    kind = form.fields.get("response_format", "json")
    if kind not in _FORMATS:
        raise errors.invalid_choice("response_format", kind, _FORMATS)
    charge, text = Charge(audio.model, audio.counts), audio.said.text()
    if kind in _CUES:
        return Reply(_CUES[kind].format(text).encode(), TEXT, charge=charge)
    if kind == "text":
        return Reply(f"{text}\n".encode(), TEXT, charge=charge)
    body: dict[str, Any] = {"text": text}
    if kind == "verbose_json":
        body |= _verbose(audio, task, text)
    return Reply(as_json(body | usage), charge=charge)


def _verbose(audio: _Audio, task: str, text: str) -> dict[str, Any]:
    seconds = audio.length / _BYTES_A_SECOND
    segment = {
        "id": 0,
        "seek": 0,
        "start": 0.0,
        "end": seconds,
        "text": text,
        "tokens": list(range(audio.said.words)),
        "temperature": 0.0,
        "avg_logprob": -0.1,
        "compression_ratio": 1.0,
        "no_speech_prob": 0.01,
    }
    return {"task": task, "language": "english", "duration": seconds, "segments": [segment]}


def _events(call: Call, audio: _Audio) -> Iterator[Part]:
    for piece in audio.said.pieces():
        delta = {"type": "transcript.text.delta", "delta": piece, "logprobs": []}
        yield Part(f"data: {compact(delta)}\n\n".encode(), 1, content=True)
    usage = {} if call.asked.no_usage else {"usage": audio.usage()}
    done = {"type": "transcript.text.done", "text": audio.said.text(), "logprobs": [], **usage}
    yield Part(f"data: {compact(done)}\n\n".encode(), audio.said.reasoning)
