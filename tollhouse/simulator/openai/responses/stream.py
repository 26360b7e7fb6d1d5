"""A response as typed events: platform.openai.com/docs/api-reference/responses-streaming.

Every event has its type as its name and a `sequence_number` that counts from 0; there is no [DONE].
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tollhouse.simulator.openai.responses.response import Response
from tollhouse.simulator.reply import Part, compact


def event(number: int, name: str, data: dict[str, Any]) -> bytes:
    """One event."""
    body = compact({"type": name, "sequence_number": number, **data})
    return f"event: {name}\ndata: {body}\n\n".encode()


def events(response: Response) -> Iterator[Part]:
    """All events. Reasoning counts with the item that stands for it."""
    for number, (name, data, tokens, content) in enumerate(_events(response)):
        yield Part(event(number, name, data), tokens, content)


_Event = tuple[str, dict[str, Any], int, bool]


def _plain(name: str, /, **data: Any) -> _Event:
    return name, data, 0, False


def _events(response: Response) -> Iterator[_Event]:
    begun = response.shown("in_progress", [])
    yield _plain("response.created", response=begun)
    yield _plain("response.in_progress", response=begun)
    index = 0
    if response.said.reasoning:
        item, place = response.reasoning(), {"output_index": 0}
        yield "response.output_item.added", place | {"item": item}, response.said.reasoning, False
        yield _plain("response.output_item.done", output_index=0, item=item)
        index = 1
    yield from _message(response, index) if response.said.tool is None else _call(response, index)
    finished = response.finished()
    yield _plain(f"response.{response.status}", response=finished)


def _message(response: Response, index: int) -> Iterator[_Event]:
    place = {"item_id": response.item_id("msg"), "output_index": index, "content_index": 0}
    item = response.message("in_progress", [])
    yield _plain("response.output_item.added", output_index=index, item=item)
    yield _plain("response.content_part.added", **place, part=response.part(""))
    noise = {"obfuscation": response.id[-8:]} if response.request.obfuscate else {}
    for piece in response.said.pieces():
        data = {**place, "delta": piece, "logprobs": [], **noise}
        yield "response.output_text.delta", data, 1, True
    text = response.said.text()
    yield _plain("response.output_text.done", **place, text=text, logprobs=[])
    yield _plain("response.content_part.done", **place, part=response.part(text))
    item = response.message(response.status, [response.part(text)])
    yield _plain("response.output_item.done", output_index=index, item=item)


def _call(response: Response, index: int) -> Iterator[_Event]:
    place = {"item_id": response.item_id("fc"), "output_index": index}
    item = response.function_call("in_progress", "")
    yield _plain("response.output_item.added", output_index=index, item=item)
    for piece in response.said.pieces():
        yield "response.function_call_arguments.delta", place | {"delta": piece}, 1, True
    text = response.said.text()
    yield _plain(
        "response.function_call_arguments.done", **place, name=item["name"], arguments=text
    )
    item = response.function_call(response.status, text)
    yield _plain("response.output_item.done", output_index=index, item=item)
