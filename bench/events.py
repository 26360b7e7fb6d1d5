"""How many events a second envoy/lua/sse.lua reads, in the LuaJIT of the tests: without Envoy.

`python -m bench.events` prints one line for each kind of stream. Every event is a chunk of its own,
which is the dearest way that they can come.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

from tests.lua.modules import Modules

_EVENTS = 20_000
_BEST_OF = 5

_LOOP = """
local sse = require("sse")
return function(options, first, event, count)
  local reader = sse.new(options)
  reader:feed(first)
  for _ = 1, count do reader:feed(event) end
  return reader.events
end
"""


def _event(name: str, data: object) -> bytes:
    named = f"event: {name}\n" if name else ""
    return f"{named}data: {json.dumps(data, separators=(',', ':'))}\n\n".encode()


def chat() -> tuple[bytes, bytes]:
    """The first event of a stream of chat completions, and one like all others."""
    chunk = {
        "id": "chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT",
        "object": "chat.completion.chunk",
        "created": 1741569952,
        "model": "gpt-4o-mini-2024-07-18",
        "service_tier": "default",
        "system_fingerprint": "fp_44709d6fcb",
        "choices": [
            {"index": 0, "delta": {"content": " word"}, "logprobs": None, "finish_reason": None}
        ],
        "usage": None,
    }
    return _event("", chunk), _event("", chunk)


def _messages() -> tuple[bytes, bytes]:
    usage = {"input_tokens": 25, "output_tokens": 1}
    message = {"id": "msg_1", "type": "message", "model": "claude-sonnet-4-5", "usage": usage}
    delta = {"type": "text_delta", "text": " word"}
    return (
        _event("message_start", {"type": "message_start", "message": message}),
        _event("content_block_delta", {"type": "content_block_delta", "index": 0, "delta": delta}),
    )


def _responses() -> tuple[bytes, bytes]:
    response = {"id": "resp_1", "object": "response", "model": "gpt-4.1-2025-04-14", "usage": None}
    delta = {
        "type": "response.output_text.delta",
        "item_id": "msg_67c9fdcf37fc8190ba82116e33fb28c5",
        "output_index": 0,
        "content_index": 0,
        "delta": " word",
        "logprobs": [],
        "obfuscation": "Cr5bxYzF1w",
        "sequence_number": 7,
    }
    return (
        _event("response.created", {"type": "response.created", "response": response}),
        _event("response.output_text.delta", delta),
    )


_STREAMS = {"chat/completions": chat, "messages": _messages, "responses": _responses}


def _lines() -> Iterator[str]:
    lua = Modules()
    loop = lua.run(_LOOP)
    for endpoint, make in _STREAMS.items():
        first, event = make()
        for kind, show in (("as it comes", {}), ("the model hidden", {"model": "alias"})):
            options = lua.table({"endpoint": endpoint, "hide_usage": True, "show": show})
            best = 0.0
            for _ in range(_BEST_OF):
                start = time.process_time()
                loop(options, first, event, _EVENTS)
                best = max(best, _EVENTS / (time.process_time() - start))
            yield f"{endpoint}, {kind}: {best:,.0f} events/s of {len(event)} bytes"


if __name__ == "__main__":
    for line in _lines():
        print(line)
