"""The two dialects: their endpoints, errors and headers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tollhouse.simulator.anthropic import errors as anthropic_errors
from tollhouse.simulator.anthropic import headers as anthropic_headers
from tollhouse.simulator.anthropic import messages
from tollhouse.simulator.call import Endpoint
from tollhouse.simulator.errors import ApiError
from tollhouse.simulator.openai import (
    batches,
    chat_answer,
    completions,
    embeddings,
    files,
    images,
    models,
    moderations,
    rerank,
    speech,
    transcription,
)
from tollhouse.simulator.openai import errors as openai_errors
from tollhouse.simulator.openai import headers as openai_headers
from tollhouse.simulator.openai.responses import endpoints as responses
from tollhouse.simulator.quirks import Quirk
from tollhouse.simulator.reply import Header


@dataclass(frozen=True, slots=True)
class Dialect:
    """Its endpoints, and the errors that come before an endpoint does."""

    endpoints: tuple[Endpoint, ...]
    headers: Callable[[int], list[Header]]
    shape: Callable[[ApiError], object]
    on_demand: Callable[[int], ApiError]
    missing_key: Callable[[], ApiError]
    incorrect_key: Callable[[str], ApiError]
    wrong_method: Callable[[str, str], ApiError]


OPENAI = Dialect(
    endpoints=(
        Endpoint("POST", "chat/completions", chat_answer.answer),
        Endpoint("POST", "completions", completions.answer),
        Endpoint("POST", "embeddings", embeddings.answer),
        Endpoint("POST", "responses", responses.create),
        Endpoint("GET", "responses/{id}", responses.get),
        Endpoint("DELETE", "responses/{id}", responses.delete),
        Endpoint("POST", "audio/speech", speech.answer),
        Endpoint("POST", "audio/transcriptions", transcription.transcribe),
        Endpoint("POST", "audio/translations", transcription.translate),
        Endpoint("POST", "images/generations", images.generate_images),
        Endpoint("POST", "images/edits", images.edit),
        Endpoint("POST", "moderations", moderations.answer),
        Endpoint("POST", "rerank", rerank.answer),
        Endpoint("GET", "models", models.listed),
        Endpoint("GET", "models/{model:path}", models.one),
        Endpoint("POST", "files", files.upload),
        Endpoint("GET", "files", files.listed),
        Endpoint("GET", "files/{id}", files.get),
        Endpoint("DELETE", "files/{id}", files.delete),
        Endpoint("GET", "files/{id}/content", files.content),
        Endpoint("POST", "batches", batches.create),
        Endpoint("GET", "batches", batches.listed),
        Endpoint("GET", "batches/{id}", batches.get),
        Endpoint("POST", "batches/{id}/cancel", batches.cancel),
    ),
    headers=openai_headers.provider_headers,
    shape=openai_errors.shape,
    on_demand=openai_errors.on_demand,
    missing_key=openai_errors.missing_key,
    incorrect_key=openai_errors.incorrect_key,
    wrong_method=openai_errors.wrong_method,
)

ANTHROPIC = Dialect(
    endpoints=(
        Endpoint("POST", "messages", messages.answer),
        Endpoint("POST", "messages/count_tokens", messages.count_tokens),
    ),
    headers=anthropic_headers.provider_headers,
    shape=anthropic_errors.shape,
    on_demand=anthropic_errors.on_demand,
    missing_key=anthropic_errors.missing_key,
    incorrect_key=anthropic_errors.incorrect_key,
    wrong_method=anthropic_errors.wrong_method,
)


def of(path: str, quirk: Quirk) -> Dialect:
    """The dialect that a path below the base path, without its first slash, belongs to."""
    is_messages = quirk.messages and (path == "messages" or path.startswith("messages/"))
    return ANTHROPIC if is_messages else OPENAI
