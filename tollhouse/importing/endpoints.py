"""Which endpoint a model of LiteLLM is for, and whether it is open here."""

from __future__ import annotations

import re

from tollhouse.importing.notes import NotCarried

_OPEN = {"chat": ["chat/completions"], "embedding": ["embeddings"]}
# Where `mode` is not stated LiteLLM looks the model up; its name says as much.
_BY_NAME = (
    (re.compile(r"embed|\bbge-|\be5-|\bgte-"), "embedding"),
    (re.compile(r"dall-e|gpt-image|stable-diffusion|\bsdxl|\bflux|imagen"), "image_generation"),
    (re.compile(r"whisper|transcribe"), "audio_transcription"),
    (re.compile(r"\btts\b"), "audio_speech"),
    (re.compile(r"rerank"), "rerank"),
    (re.compile(r"moderation"), "moderation"),
    (re.compile(r"realtime"), "realtime"),
    (re.compile(r"gpt-3\.5-turbo-instruct|davinci-002|babbage-002"), "completion"),
)


def endpoints_of(model: str, mode: str) -> list[str]:
    """The policy's endpoints for a model.

    Raises:
        NotCarried: its endpoint is not open.
    """
    found = mode or _guessed(model)
    if found not in _OPEN:
        stated = "mode is" if mode else "by its name it is for"
        raise NotCarried(
            f"{stated} {found}, and only chat/completions and embeddings are open",
            "let its callers reach the provider as before",
        )
    return list(_OPEN[found])


def _guessed(model: str) -> str:
    lowered = model.lower()
    return next((mode for pattern, mode in _BY_NAME if pattern.search(lowered)), "chat")
