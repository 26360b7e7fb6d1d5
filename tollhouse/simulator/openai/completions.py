"""POST /completions: the legacy endpoint, platform.openai.com/docs/api-reference/completions.

Prompts are texts or token arrays, one or many; each has `n` choices. A prompt costs a quarter of
its UTF-8 bytes, rounded up, or the length of its token array.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tollhouse.simulator.call import Call
from tollhouse.simulator.directives import MAX_TOKENS
from tollhouse.simulator.generation import Generation, generate
from tollhouse.simulator.openai import chat, chat_answer, errors, fields
from tollhouse.simulator.reply import EVENTS, Charge, Part, Reply, as_json, compact
from tollhouse.simulator.usage import Counts, text_tokens

_DEFAULT_LIMIT = 16  # the real API's
_DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class _Completion:
    """One answer; every choice says the same."""

    call: Call
    head: dict[str, Any]
    said: Generation
    choices: int
    counts: Counts

    @property
    def finish_reason(self) -> str:
        return "length" if self.said.cut else "stop"

    @property
    def counted(self) -> dict[str, Any]:
        return {} if self.call.asked.no_usage else {"usage": chat.usage(self.counts)}


def answer(call: Call) -> Reply:
    """One call."""
    data = fields.read_object(call.body)
    model = fields.read_model(data)
    call.check_model(model)
    completion = _completion(call, data, model)
    charge = Charge(model, completion.counts)
    if not fields.read_flag(data, "stream", False):
        return Reply(_body(completion), charge=charge)
    options = chat.read_stream_options(data, True)
    wanted = fields.read_flag(options, "include_usage", False) or call.asked.usage_always
    return Reply(
        _events(completion, wanted and not call.asked.no_usage),
        EVENTS,
        charge=charge,
        contents=completion.said.words * completion.choices,
        failure=lambda _sent: chat_answer.failure(call),
    )


def _completion(call: Call, data: Mapping[str, Any], model: str) -> _Completion:
    prompts = _prompts(data.get("prompt"))
    choices = len(prompts) * (fields.read_integer(data, "n", 1, 128) or 1)
    limit = fields.read_integer(data, "max_tokens", 0, MAX_TOKENS)
    said = generate(call.asked, _DEFAULT_LIMIT if limit is None else limit)
    counts = Counts(
        input_tokens=sum(map(_tokens, prompts)),
        cached_input_tokens=call.asked.cached_tokens,
        output_tokens=said.tokens * choices,
        reasoning_tokens=said.reasoning * choices,
    )
    head: dict[str, Any] = {"id": f"cmpl-{uuid.uuid4().hex[:29]}", "object": "text_completion"}
    head |= {"created": int(time.time()), "model": model}
    return _Completion(call, head, said, choices, counts)


def _body(completion: _Completion) -> bytes:
    said, finish = completion.said, completion.finish_reason
    choices = [_choice(index, said.text(), finish) for index in range(completion.choices)]
    last = {"system_fingerprint": "fp_0aa8d3e20b"}
    return as_json({**completion.head, "choices": choices, **completion.counted, **last})


def _events(completion: _Completion, wants_usage: bool) -> Iterator[Part]:
    rides = completion.call.asked.usage_in_last_content
    none = {"usage": None} if wants_usage else {}
    said, indexes = completion.said, range(completion.choices)
    for number, piece in enumerate(said.pieces()):
        tokens = 1 + (said.reasoning if number == 0 else 0)
        for index in indexes:
            part = _part(completion, [_choice(index, piece, None)], none)
            yield part._replace(tokens=tokens, content=True)
    for index in indexes:
        counted = completion.counted if rides and index == completion.choices - 1 else none
        yield _part(completion, [_choice(index, "", completion.finish_reason)], counted)
    if wants_usage and not rides:
        yield _part(completion, [], completion.counted)
    yield Part(_DONE)


def _part(completion: _Completion, choices: list[Any], counted: dict[str, Any]) -> Part:
    chunk = {**completion.head, "choices": choices, **counted}
    return Part(f"data: {compact(chunk)}\n\n".encode())


def _choice(index: int, text: str, finish: str | None) -> dict[str, Any]:
    return {"text": text, "index": index, "logprobs": None, "finish_reason": finish}


def _prompts(value: object) -> list[str | list[int]]:
    if value is None:
        raise errors.missing_parameter("prompt")
    if isinstance(value, str) or (isinstance(value, list) and all(type(i) is int for i in value)):
        return [value]
    if isinstance(value, list) and all(isinstance(item, str | list) for item in value):
        return value
    raise errors.invalid_type("prompt", "a string or an array", value)


def _tokens(prompt: str | list[int]) -> int:
    return text_tokens((prompt,)) if isinstance(prompt, str) else len(prompt)
