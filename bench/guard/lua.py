"""Envoy's Lua in LuaJIT, without Envoy: a body read, a body rewritten, an event of a stream."""

from __future__ import annotations

import json

from bench import events
from bench.guard.references import LUA
from bench.guard.work import Work
from tests.lua.modules import Modules

_SCAN = """
local scan = require("scan")
return function(body, times)
  local facts
  for _ = 1, times do facts = assert(scan.read(body, "chat/completions")) end
  sweep()
  return facts
end
"""
_REWRITE = """
local scan, splice = require("scan"), require("splice")
return function(body, rules, times)
  local spans, rewritten = scan.read(body, "chat/completions").spans
  for _ = 1, times do rewritten = splice.rewrite(body, spans, rules) end
  sweep()
  return rewritten
end
"""
_EVENTS = """
local sse = require("sse")
return function(options, event, times)
  local reader = sse.new(options)
  for _ = 1, times do reader:feed(event) end
  sweep()
  return reader.events
end
"""
_RULES = {
    "model": "upstream-model-1",
    "include_usage": False,
    "max_output_tokens": 1000,
    "max_tokens_field": "max_completion_tokens",
    "defaults": {"temperature": "0.2"},
}
_QUESTION = "What is the capital of France?"
_LARGE_BYTES = 100_000


def works(lua: Modules) -> list[Work]:
    """In the state that is given."""
    scan, rewrite = lua.run(_SCAN), lua.run(_REWRITE)
    small, large = _chat(_QUESTION), _chat(_long_text())
    rules = lua.table(_RULES)
    return [
        Work("lua: a small body read", LUA, 20, lambda times: scan(small, times)),
        Work("lua: 100 KB read", LUA, 2, lambda times: scan(large, times)),
        Work("lua: a small body rewritten", LUA, 20, lambda n: rewrite(small, rules, n)),
        Work("lua: 100 KB rewritten", LUA, 5, lambda n: rewrite(large, rules, n)),
        _events(lua, "an event", {}),
        _events(lua, "an event, its model hidden", {"model": "small"}),
    ]


def _events(lua: Modules, what: str, show: dict[str, str]) -> Work:
    feed = lua.run(_EVENTS)
    options = lua.table({"endpoint": "chat/completions", "hide_usage": True, "show": show})
    _, event = events.chat()
    return Work(f"lua: {what}", LUA, 20, lambda times: feed(options, event, times))


def _chat(question: str) -> bytes:
    messages = [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": question},
    ]
    return json.dumps({"model": "small", "messages": messages, "max_tokens": 100}).encode()


def _long_text() -> str:
    """Prose, as JSON carries it: a line break or a quotation mark in every line."""
    line = 'He said "well", and went on to tell what there was to tell of that day.\n'
    return line * (_LARGE_BYTES // len(line))
