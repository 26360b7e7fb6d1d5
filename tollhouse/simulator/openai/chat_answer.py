"""A chat completion as bytes: one indented JSON body, or server-sent events.

Events are field by field those of a stream recorded from api.openai.com in November 2025: compact;
`usage` in every event (null but in the last) exactly when `stream_options.include_usage` was set;
`obfuscation` unless the client declined it. The JSON body has the fields of the API's published
types; its indentation and the order of its last fields are assumed, not recorded.
Strings are put together by hand because this is also a benchmark's upstream.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache

from tollhouse.simulator.call import Call
from tollhouse.simulator.directives import Directives
from tollhouse.simulator.openai import chat, errors
from tollhouse.simulator.openai.chat import Completion
from tollhouse.simulator.reply import EVENTS, Charge, Part, Reply, compact
from tollhouse.simulator.usage import Counts

_FINGERPRINT = "fp_0aa8d3e20b"
_DONE = b"data: [DONE]\n\n"


def answer(call: Call) -> Reply:
    """One call."""
    request = chat.read(call.body)
    call.check_model(request.model)
    completion = chat.complete(request, call.asked)
    charge = Charge(request.model, completion.counts, completion.service_tier)
    if not request.stream:
        return Reply(body(completion, call.asked), charge=charge)
    return Reply(
        events(completion, call.asked),
        EVENTS,
        charge=charge,
        contents=completion.said.words * request.choices,
        failure=lambda _sent: failure(call),
    )


def failure(call: Call) -> bytes:
    """The event of an error in mid-stream."""
    return f"data: {compact(call.quirk.error(errors.on_demand(500)))}\n\n".encode()


def body(completion: Completion, asked: Directives) -> bytes:
    """The whole answer as JSON."""
    members = [
        ("id", f'"{completion.id}"'),
        ("object", '"chat.completion"'),
        ("created", str(completion.created)),
        ("model", json.dumps(completion.request.model)),
        ("choices", _choices(completion)),
    ]
    if not asked.no_usage:
        member = ("usage", _indented(completion.counts))
        members.insert(-1 if asked.usage_first else len(members), member)
    members += [
        ("service_tier", json.dumps(completion.service_tier)),
        ("system_fingerprint", f'"{_FINGERPRINT}"'),
    ]
    lines = ",\n".join(f'  "{name}": {value}' for name, value in members)
    return f"{{\n{lines}\n}}\n".encode()


@lru_cache(maxsize=1024)
def _indented(counts: Counts) -> str:
    """Usage as it stands in an indented body; few distinct counts recur, so cached."""
    return json.dumps(chat.usage(counts), indent=2).replace("\n", "\n  ")


def _choices(completion: Completion) -> str:
    message = _message(completion)
    choices = ",\n".join(
        f'    {{\n      "index": {index},\n      "message": {message},\n      "logprobs": null,\n'
        f'      "finish_reason": "{completion.finish_reason}"\n    }}'
        for index in range(completion.request.choices)
    )
    return f"[\n{choices}\n  ]"


def _message(completion: Completion) -> str:
    text = completion.said.text()
    tool = completion.said.tool
    if tool is None:
        return (
            f'{{\n        "role": "assistant",\n        "content": {json.dumps(text)},\n'
            '        "refusal": null,\n        "annotations": []\n      }'
        )
    message = {
        "role": "assistant",
        "content": None,
        "tool_calls": [_tool_call(completion, tool.name, text)],
        "refusal": None,
        "annotations": [],
    }
    return json.dumps(message, indent=2).replace("\n", "\n      ")


def _tool_call(completion: Completion, tool: str, arguments: str) -> dict[str, object]:
    call_id = f"call_{completion.id[-24:]}"
    function = {"name": tool, "arguments": arguments}
    return {"id": call_id, "type": "function", "function": function}


def events(completion: Completion, asked: Directives) -> Iterator[Part]:
    """The answer as events, one content token each; several choices take turns."""
    stream = _Stream(completion, asked)
    indexes = range(completion.request.choices)
    for index in indexes:
        yield Part(stream.event(index, _opening(completion)), completion.said.reasoning)
    for content in completion.said.pieces():
        for index in indexes:
            yield Part(stream.event(index, _delta(completion, content)), 1, content=True)
    for index in indexes:
        yield Part(stream.last_event(index))
    if stream.has_usage_event:
        yield Part(stream.usage_event())
    yield Part(_DONE)


def _opening(completion: Completion) -> str:
    tool = completion.said.tool
    if tool is None:
        return '{"role":"assistant","content":"","refusal":null}'
    call = {"index": 0, **_tool_call(completion, tool.name, "")}
    delta = {"role": "assistant", "content": None, "tool_calls": [call], "refusal": None}
    return json.dumps(delta, separators=(",", ":"))


def _delta(completion: Completion, content: str) -> str:
    text = json.dumps(content)
    if completion.said.tool is None:
        return f'{{"content":{text}}}'
    return f'{{"tool_calls":[{{"index":0,"function":{{"arguments":{text}}}}}]}}'


class _Stream:
    """What the events of one stream have in common."""

    def __init__(self, completion: Completion, asked: Directives) -> None:
        request = completion.request
        self._last_index = request.choices - 1
        self._finish_reason = completion.finish_reason
        self._usage = json.dumps(chat.usage(completion.counts), separators=(",", ":"))
        self._usage_rides = asked.usage_in_last_content and not asked.no_usage
        wanted = request.include_usage or asked.usage_always
        self._usage_asked = wanted and not asked.no_usage
        self._noise = completion.id[-16:] if request.obfuscate else ""
        self._head = (
            f'data: {{"id":"{completion.id}","object":"chat.completion.chunk",'
            f'"created":{completion.created},"model":{json.dumps(request.model)},'
            f'"service_tier":{json.dumps(completion.service_tier)},"system_fingerprint":"{_FINGERPRINT}","choices":['
        )

    @property
    def has_usage_event(self) -> bool:
        return self._usage_asked and not self._usage_rides

    def event(self, index: int, delta: str) -> bytes:
        return self._event(self._choice(index, delta, "null"), self._no_usage(), len(delta))

    def last_event(self, index: int) -> bytes:
        rides = self._usage_rides and index == self._last_index
        choice = self._choice(index, "{}", f'"{self._finish_reason}"')
        return self._event(choice, self._usage if rides else self._no_usage(), 2)

    def usage_event(self) -> bytes:
        return self._event("", self._usage, 0)

    def _no_usage(self) -> str:
        return "null" if self._usage_asked else ""

    def _choice(self, index: int, delta: str, finish: str) -> str:
        return f'{{"index":{index},"delta":{delta},"logprobs":null,"finish_reason":{finish}}}'

    def _event(self, choice: str, usage_value: str, length: int) -> bytes:
        counted = f',"usage":{usage_value}' if usage_value else ""
        # The padding's purpose is that the size of an event does not tell what was said in it.
        noise = self._noise[length % len(self._noise) :] if self._noise else ""
        padded = f',"obfuscation":"{noise}"' if noise else ""
        return f"{self._head}{choice}]{counted}{padded}}}\n\n".encode()
