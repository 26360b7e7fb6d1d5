"""The calls of the table of endpoints: what is sent, what it costs, and the most that it can cost.

Every alias has the name of its row, so that a price belongs to one row. A bound is what
docs/reservation.md says of the body, worked out by hand: amounts by the rate that they are charged
at, tokens, milliseconds or pieces.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

from tests.lua import forms

Amounts = Mapping[str, int]
Price = Mapping[str, Any]

MAX_OUTPUT = 50
SOUND = b"\0sound\1\2" * 4_000  # two seconds to the simulator, which takes 16,000 bytes for one
# At 6 kbit/s, the least that speech takes, so many milliseconds; 32 tokens are heard in a second.
LONGEST_MS = math.ceil(len(SOUND) * 8 * 1000 / 6000)
MOST_HEARD = math.ceil(LONGEST_MS * 32 / 1000)
PICTURE = b"\x89PNG\r\n\x1a\n" + b"picture" * 20
MAX_MEDIA = 1_000
MOST_DRAWN = 6_240 + 300  # a picture in high quality, and three partial ones

_TOKENS = ("input_tokens", "output_tokens")
_UNITS = {"per_minute": 60_000, "per_thousand_searches": 1_000, "per_image": 1, "per_request": 1}


def cost(price: Price, amounts: Amounts, variant: str = "") -> int:
    """Nano-dollars, exactly, rounded up once. Parts that have no rate cost what their total does,
    as policies/README.md says."""
    total = Fraction(0)
    for name, amount in amounts.items():
        rate = price.get(name)
        if rate is None and name.endswith("_per_million"):
            rate = price.get("output_per_million" if "output" in name else "input_per_million")
        if isinstance(rate, dict):
            rate = rate.get(variant, rate["default"])
        total += Fraction(Decimal(str(rate or 0))) * 10**9 * amount / _UNITS.get(name, 1_000_000)
    return math.ceil(total)


def amounts(counts: Mapping[str, int]) -> Amounts:
    """The counts of docs/usage.md, by the rates that they are charged at."""
    parts_in = ("cached_input", "cache_write", "cache_write_1h", "input_audio", "input_image")
    parts_out = ("output_audio", "output_image")
    read = {part: counts.get(f"{part}_tokens", 0) for part in (*parts_in, *parts_out)}
    return {
        "input_per_million": counts.get("input_tokens", 0) - sum(read[one] for one in parts_in),
        "output_per_million": counts.get("output_tokens", 0) - sum(read[one] for one in parts_out),
        **{f"{part}_per_million": number for part, number in read.items()},
        "per_minute": counts.get("audio_milliseconds", 0),
        "per_million_characters": counts.get("characters", 0),
        "per_thousand_searches": counts.get("search_units", 0),
        "per_image": counts.get("images", 0),
        "per_request": 1,
    }


@dataclass(frozen=True)
class Call:
    """One row of the table, in one mode ("json" or "sse").

    `price` and `options` are of its alias in models.yaml. `counted`: who says what it used (the
    `usage_source` of the access log). `is_billed`: whether the provider's bill holds its counts.
    `unreported`: counts that stay estimated, because the provider neither reports nor charges them.
    """

    endpoint: str
    mode: str
    body: bytes = b""
    model: str = ""
    price: Price = field(default_factory=dict)
    bound: Amounts = field(default_factory=dict)
    method: str = "POST"
    content_type: str = "application/json"
    simulate: str = ""
    counted: str = "reported"
    is_billed: bool = True
    unreported: tuple[str, ...] = ()
    variant: str = ""
    options: tuple[str, ...] = ()

    @property
    def called(self) -> str:
        """The alias that is named, or that made what is asked for."""
        owners = {"messages/count_tokens": "messages", "responses/id/get": "responses"}
        owner = {**owners, "responses/id/delete": "responses"}.get(self.endpoint)
        return f"{owner}-json" if owner else self.alias

    @property
    def row(self) -> str:
        return self.endpoint.replace("/", "-")

    @property
    def alias(self) -> str:
        return f"{self.row}-{self.mode}"

    @property
    def dialect(self) -> str:
        return "anthropic" if self.endpoint.startswith("messages") else "openai"

    @property
    def worst(self) -> int:
        """Nano-dollars that are reserved."""
        return cost(self.price, self.bound, self.variant)


def _json(alias: str, **fields: Any) -> bytes:
    return json.dumps({"model": alias, **fields}).encode()


def _form(alias: str, file: bytes, **fields: str) -> tuple[bytes, int]:
    """A form's body, and the bytes of its text."""
    texts = {"model": alias, **fields}
    sent = forms.form(*(forms.text(name, value) for name, value in texts.items()), file)
    return sent, sum(map(len, texts.values()))


def _generates(
    endpoint: str, model: str, mode: str, choices: int = 1, simulate: str = "", **fields: Any
) -> Call:
    alias = f"{endpoint.replace('/', '-')}-{mode}"
    body = _json(alias, **fields, **({"stream": True} if mode == "sse" else {}))
    return Call(
        endpoint,
        mode,
        body,
        model,
        {"input_per_million": 2.5, "cached_input_per_million": 1.25, "output_per_million": 10},
        {"input_per_million": len(body), "output_per_million": MAX_OUTPUT * choices},
        simulate=simulate,
        options=(f"max_output_tokens: {MAX_OUTPUT}",),
    )


_TALK = [{"role": "user", "content": "Say hello to the ferryman"}]


def _chat(mode: str) -> Call:
    simulate = "cached_tokens=4,reasoning_tokens=5"
    return _generates("chat/completions", "gpt-4o", mode, simulate=simulate, messages=_TALK)


def _completions(mode: str) -> Call:
    return _generates("completions", "gpt-3.5-turbo-instruct", mode, 2, prompt="Say hello", n=2)


def _responses(mode: str) -> Call:
    simulate = "cached_tokens=3,reasoning_tokens=5"
    call = _generates("responses", "gpt-5.4", mode, simulate=simulate, input="Say hello, ferry")
    # The context window bounds what a response that is continued adds.
    return replace(call, options=(*call.options, "max_input_tokens: 100000"))


_CACHED = {"type": "ephemeral"}
_SYSTEM = [
    {
        "type": "text",
        "text": "You are a ferryman. " * 8,
        "cache_control": {**_CACHED, "ttl": "1h"},
    }
]
_ASKED = [
    {
        "role": "user",
        "content": [{"type": "text", "text": "Take us over " * 4, "cache_control": _CACHED}],
    },
    *({"role": "assistant", "content": "Where to?"}, {"role": "user", "content": "Over there"}),
]


def _messages(mode: str) -> Call:
    alias = f"messages-{mode}"
    body = _json(alias, max_tokens=90, system=_SYSTEM, messages=_ASKED, stream=mode == "sse")
    return Call(
        "messages",
        mode,
        body,
        "claude-sonnet-4-5",
        {
            "input_per_million": 3,
            "cached_input_per_million": 0.3,
            "cache_write_per_million": 3.75,
            "cache_write_1h_per_million": 6,
            "output_per_million": 15,
        },
        # All of it may be written to the cache, to be kept for an hour: the dearest.
        {"cache_write_1h_per_million": len(body), "output_per_million": MAX_OUTPUT},
        simulate="cached_tokens=6",
        options=(f"max_output_tokens: {MAX_OUTPUT}",),
    )


def _count_tokens(mode: str) -> Call:
    body = _json("messages-json", messages=_ASKED)
    return Call("messages/count_tokens", mode, body, "claude-sonnet-4-5", counted="none")


def _embeddings(mode: str) -> Call:
    body = _json("embeddings-json", input=["a ferry", "a bridge of stone"])
    price = {"input_per_million": 0.02, "output_per_million": 0}
    return Call("embeddings", mode, body, "text-embedding-3-small", price,
                {"input_per_million": len(body)})  # fmt: skip


def _transcriptions(mode: str) -> Call:
    stream = {"stream": "true"} if mode == "sse" else {}
    file = forms.file("file", SOUND)
    body, text = _form(f"audio-transcriptions-{mode}", file, prompt="Ferry, bridge", **stream)
    return Call(
        "audio/transcriptions",
        mode,
        body,
        "gpt-4o-transcribe",
        {"input_per_million": 2.5, "input_audio_per_million": 6, "output_per_million": 10},
        {
            "input_per_million": text,
            "input_audio_per_million": MOST_HEARD,
            "output_per_million": MAX_OUTPUT,
        },
        content_type=forms.CONTENT_TYPE,
        options=(f"max_output_tokens: {MAX_OUTPUT}",),
        unreported=("audio_milliseconds",),
    )


def _translations(mode: str) -> Call:
    # Of a translation only the verbose answer says how long the sound was.
    file = forms.file("file", SOUND)
    body, _ = _form("audio-translations-json", file, response_format="verbose_json")
    return Call("audio/translations", mode, body, "whisper-1", {"per_minute": 0.006},
                {"per_minute": LONGEST_MS}, content_type=forms.CONTENT_TYPE,
                unreported=_TOKENS)  # fmt: skip


_SPEECH = "Mind the gap between the ferry and the pier"


def _speech(mode: str) -> Call:
    fields = {"input": _SPEECH, "voice": "alloy"}
    if mode == "json":
        body = _json("audio-speech-json", **fields)
        price: Price = {"per_million_characters": 15}
        bound = {"per_million_characters": len(_SPEECH)}
        # No answer of sound has a place for usage; the characters are those of the request.
        return Call("audio/speech", mode, body, "tts-1", price, bound,
                    counted="estimated",
                    unreported=_TOKENS)  # fmt: skip
    body = _json("audio-speech-sse", **fields, stream_format="sse")
    price = {"input_per_million": 0.6, "output_per_million": 1, "output_audio_per_million": 12}
    spoken = len(_SPEECH) * 10 + 200
    return Call("audio/speech", mode, body, "gpt-4o-mini-tts", price,
                {"input_per_million": len(body), "output_audio_per_million": spoken},
                unreported=("characters",))  # fmt: skip


_IMAGE_PRICE = {
    "input_per_million": 5,
    "input_image_per_million": 10,
    "output_per_million": 20,
    "output_image_per_million": 40,
}


def _images(mode: str) -> Call:
    fields = {"prompt": "A ferry at dawn", "n": 2}
    if mode == "json":
        variant = "hd 1024x1792"
        body = _json("images-generations-json", **fields, quality="hd", size="1024x1792")
        price = {"per_image": {"default": 0.12, "standard 1024x1024": 0.04, variant: 0.1185}}
        return Call("images/generations", mode, body, "dall-e-3", price, {"per_image": 2},
                    variant=variant)  # fmt: skip
    alias = "images-generations-sse"
    body = _json(alias, **fields, quality="low", size="1024x1024", stream=True)
    bound = {"input_per_million": len(body), "output_image_per_million": 2 * MOST_DRAWN}
    return Call("images/generations", mode, body, "gpt-image-1", _IMAGE_PRICE, bound)


def _edits(mode: str) -> Call:
    stream = {"stream": "true"} if mode == "sse" else {}
    file = forms.file("image", PICTURE, "ferry.png")
    body, text = _form(f"images-edits-{mode}", file, prompt="At dusk", quality="low", **stream)
    bound = {
        "input_per_million": text,
        "input_image_per_million": MAX_MEDIA,
        "output_image_per_million": MOST_DRAWN,
    }
    return Call("images/edits", mode, body, "gpt-image-1", _IMAGE_PRICE, bound,
                content_type=forms.CONTENT_TYPE,
                options=(f"max_tokens_per_media: {MAX_MEDIA}",))  # fmt: skip


def _moderations(mode: str) -> Call:
    body = _json("moderations-json", input="Good morning, ferryman")
    price = {"input_per_million": 0.1, "output_per_million": 0}
    return Call("moderations", mode, body, "omni-moderation-latest", price,
                {"input_per_million": len(body)}, counted="estimated",
                is_billed=False)  # fmt: skip


def _rerank(mode: str) -> Call:
    body = _json("rerank-json", query="Which floats?", documents=["a ferry", "a bridge"])
    return Call("rerank", mode, body, "rerank-v3.5", {"per_thousand_searches": 2},
                {"per_thousand_searches": 1},
                unreported=("input_tokens",))  # fmt: skip


def _files(mode: str) -> Call:
    body = forms.form(forms.text("purpose", "batch"), forms.file("file", b"{}\n", "a.jsonl"))
    return Call("files", mode, body, "none", {"per_request": 0.000_75}, {"per_request": 1},
                content_type=forms.CONTENT_TYPE, counted="rule", is_billed=False)  # fmt: skip


def _batches(mode: str) -> Call:
    return Call("batches", mode, b'{"input_file_id":"file-1"}')


CALLS = [
    *(_chat("json"), _chat("sse")),
    *(_completions("json"), _completions("sse")),
    *(_responses("json"), _responses("sse")),
    _embeddings("json"),
    *(_messages("json"), _messages("sse")),
    _count_tokens("json"),
    *(_transcriptions("json"), _transcriptions("sse")),
    _translations("json"),
    *(_speech("json"), _speech("sse")),
    *(_images("json"), _images("sse")),
    *(_edits("json"), _edits("sse")),
    _moderations("json"),
    _rerank("json"),
    Call("responses/id/get", "json", method="GET", counted="none"),
    Call("responses/id/delete", "json", method="DELETE", counted="none"),
    _files("json"),
    _batches("json"),
]
