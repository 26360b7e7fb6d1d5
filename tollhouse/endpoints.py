"""The endpoints under `/v1/`: who may call them by what, and in which dialect they speak.

Two kinds. *Checked*: the body names the model, so the alias can be authorised before anything is
sent. *Unchecked* (files, batches, …): nothing in the request says which model will run; they are
refused but for an alias that serves them and is allowed by its very name.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

Dialect = Literal["openai", "anthropic"]

CHAT: Final = "chat/completions"
COMPLETIONS: Final = "completions"
RESPONSES: Final = "responses"
RESPONSE_BY_ID: Final = "responses/id"
EMBEDDINGS: Final = "embeddings"
MESSAGES: Final = "messages"
COUNT_TOKENS: Final = "messages/count_tokens"
TRANSCRIPTIONS: Final = "audio/transcriptions"
TRANSLATIONS: Final = "audio/translations"
SPEECH: Final = "audio/speech"
IMAGES: Final = "images/generations"
IMAGE_EDITS: Final = "images/edits"
MODERATIONS: Final = "moderations"
RERANK: Final = "rerank"

# What an alias can say that it serves.
Checked = Literal[
    "chat/completions",
    "completions",
    "responses",
    "embeddings",
    "messages",
    "audio/transcriptions",
    "audio/translations",
    "audio/speech",
    "images/generations",
    "images/edits",
    "moderations",
    "rerank",
]
Unchecked = Literal[
    "files",
    "batches",
    "fine_tuning",
    "assistants",
    "threads",
    "vector_stores",
    "uploads",
    "containers",
    "conversations",
    "evals",
    "videos",
]
Endpoint = Literal[Checked, Unchecked]

CHECKED: Final[frozenset[str]] = frozenset(get_args(Checked))
UNCHECKED: Final[frozenset[str]] = frozenset(get_args(Unchecked))

# An endpoint that comes with another one.
_PART_OF: Final = {COUNT_TOKENS: MESSAGES, RESPONSE_BY_ID: RESPONSES}
NAMING_A_MODEL: Final = CHECKED | {COUNT_TOKENS}
"""The endpoints whose body names an alias."""
KNOWN: Final = CHECKED | UNCHECKED | _PART_OF.keys()
"""Everything that the fact `endpoint` of request.lua can be."""
MULTIPART: Final = frozenset({TRANSCRIPTIONS, TRANSLATIONS, IMAGE_EDITS})
GENERATING: Final = frozenset({CHAT, COMPLETIONS, RESPONSES, MESSAGES})
"""Those whose output is text that a limit of output tokens bounds."""

_ANTHROPICS: Final = frozenset({MESSAGES, COUNT_TOKENS})
_METHODS: Final = {RESPONSE_BY_ID: frozenset({"GET", "DELETE"})}
_POST: Final = frozenset({"POST"})


def served_as(endpoint: str) -> str:
    """What an alias has to list so that it serves this endpoint."""
    return _PART_OF.get(endpoint, endpoint)


def dialect_of(endpoint: str) -> Dialect:
    """The dialect that its callers and its providers speak."""
    return "anthropic" if endpoint in _ANTHROPICS else "openai"


def methods_of(endpoint: str) -> frozenset[str] | None:
    """The methods it takes; None: any."""
    return None if endpoint in UNCHECKED else _METHODS.get(endpoint, _POST)


def default_endpoints(dialect: Dialect) -> tuple[Checked, ...]:
    """What an alias serves that does not say."""
    return ("messages",) if dialect == "anthropic" else ("chat/completions",)
