"""POST /images/generations and /images/edits.

platform.openai.com/docs/api-reference/images; tokens of an image by quality and size:
platform.openai.com/docs/guides/image-generation#cost-and-latency ("auto" is taken as medium, and
square). dall-e reports no usage. A prompt costs a quarter of its UTF-8 bytes, a given image 85.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tollhouse.simulator.call import Call
from tollhouse.simulator.openai import chat_answer, errors, fields, forms
from tollhouse.simulator.reply import EVENTS, Charge, Part, Reply, as_json, compact
from tollhouse.simulator.usage import IMAGE_TOKENS, Counts, text_tokens

_MAX_IMAGES = 10
_TOKENS = {
    "low": {"1024x1024": 272, "1024x1536": 408, "1536x1024": 400},
    "medium": {"1024x1024": 1056, "1024x1536": 1584, "1536x1024": 1568},
    "high": {"1024x1024": 4160, "1024x1536": 6240, "1536x1024": 6208},
}
_PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)


@dataclass(frozen=True, slots=True)
class _Wanted:
    model: str
    prompt: str
    count: int
    quality: str
    size: str
    as_url: bool
    stream: bool
    given: int = 0

    @property
    def by_tokens(self) -> bool:
        return not self.model.startswith("dall-e")

    @property
    def counts(self) -> Counts:
        if not self.by_tokens:
            return Counts(images=self.count)
        seen = self.given * IMAGE_TOKENS
        quality = _TOKENS.get(self.quality, _TOKENS["medium"])
        made = self.count * quality.get(self.size, quality["1024x1024"])
        return Counts(
            input_tokens=text_tokens((self.prompt,)) + seen,
            input_image_tokens=seen,
            output_tokens=made,
            output_image_tokens=made,
            images=self.count,
        )


def generate_images(call: Call) -> Reply:
    """One call of /images/generations."""
    data = fields.read_object(call.body)
    count = fields.read_integer(data, "n", 1, _MAX_IMAGES)
    stream = fields.read_flag(data, "stream", False)
    return _answer(call, _wanted(data, count, stream), "image_generation")


def edit(call: Call) -> Reply:
    """One call of /images/edits, a form with one `image` or several `image[]`."""
    form = forms.read(call)
    images = [sent for sent in form.files if sent.field in ("image", "image[]")]
    if not images:
        raise errors.missing_parameter("image")
    stream = form.fields.get("stream") == "true"
    wanted = _wanted(form.fields, form.number("n"), stream, len(images))
    return _answer(call, wanted, "image_edit")


def _wanted(data: Mapping[str, Any], count: int | None, stream: bool, given: int = 0) -> _Wanted:
    model = fields.read_optional(data, "model", "dall-e-2")
    form = fields.read_optional(data, "response_format", "url")
    return _Wanted(
        model=model,
        prompt=fields.read_text(data, "prompt"),
        count=count or 1,
        quality=fields.read_optional(data, "quality", "auto"),
        size=fields.read_optional(data, "size", "auto"),
        as_url=model.startswith("dall-e") and form == "url",
        stream=stream and not model.startswith("dall-e"),
        given=given,
    )


def _answer(call: Call, wanted: _Wanted, event: str) -> Reply:
    call.check_model(wanted.model)
    charge = Charge(wanted.model, wanted.counts)
    if wanted.stream:
        return Reply(
            _events(call, wanted, event),
            EVENTS,
            charge=charge,
            contents=wanted.count,
            failure=lambda _sent: chat_answer.failure(call),
        )
    data = [_image(call, wanted, number) for number in range(wanted.count)]
    usage = {"usage": _usage(wanted.counts)} if _counted(call, wanted) else {}
    first, last = (usage, {}) if call.asked.usage_first else ({}, usage)
    return Reply(
        as_json({"created": int(time.time()), **first, "data": data, **last}), charge=charge
    )


def _counted(call: Call, wanted: _Wanted) -> bool:
    return wanted.by_tokens and not call.asked.no_usage


def _image(call: Call, wanted: _Wanted, number: int) -> dict[str, Any]:
    if wanted.as_url:
        return {"url": f"https://images.example.com/simulated/{number}.png"}
    image = _PNG.ljust(call.asked.image_bytes, b"\0")
    return {"b64_json": base64.b64encode(image).decode()}


def _usage(counts: Counts) -> dict[str, Any]:
    seen = counts.input_image_tokens
    return {
        "total_tokens": counts.total_tokens,
        "input_tokens": counts.input_tokens,
        "output_tokens": counts.output_tokens,
        "input_tokens_details": {"text_tokens": counts.input_tokens - seen, "image_tokens": seen},
    }


def _events(call: Call, wanted: _Wanted, event: str) -> Iterator[Part]:
    """One partial and one complete image each; usage with the last complete one."""
    common = {"size": wanted.size, "quality": wanted.quality, "background": "auto"}
    common |= {"output_format": "png"}
    made = wanted.counts.output_tokens
    for number in range(wanted.count):
        head = {**_image(call, wanted, number), "created_at": int(time.time()), **common}
        yield _part(f"{event}.partial_image", {**head, "partial_image_index": 0}, 0, False)
        last = number == wanted.count - 1
        usage = {"usage": _usage(wanted.counts)} if last and _counted(call, wanted) else {}
        yield _part(f"{event}.completed", {**head, **usage}, made // wanted.count, True)


def _part(name: str, data: dict[str, Any], tokens: int, content: bool) -> Part:
    body = f"event: {name}\ndata: {compact({'type': name, **data})}\n\n"
    return Part(body.encode(), tokens, content)
