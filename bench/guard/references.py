"""Fixed work in each engine, which the cost of a path is divided by.

Another build of Python, of LuaJIT or of Redis moves both, and their ratio little. Each does a bit
of what the paths do. A change here changes every figure: renew the baseline with it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from bench.guard.work import Work
from tests.lua.modules import Modules

PYTHON, LUA, REDIS = "python", "lua", "redis"

_LUA = """
return function(times)
  local text, kept = ("word and "):rep(40), {}
  for n = 1, times do
    local found = 0
    for from, to in text:gmatch("()%w+()") do found = found + to - from end
    for place = 1, #text do
      if text:byte(place) == 32 then found = found + 1 end
    end
    kept[n % 50 + 1] = table.concat({"name", tostring(found), text:sub(3, 9)}, ":")
  end
  sweep()
  return kept
end
"""
# What LuaJIT compiles it chooses by chance: the same code differs by 15 % from run to run. And when
# it collects garbage depends on what ran before: here, each work pays for its own at its end.
_PREPARE = """
jit.off()
function sweep()
  collectgarbage()
  collectgarbage("stop")
end
sweep()
"""

REDIS_SCRIPT = """
local key, text = KEYS[1], ARGV[1]
for n = 1, 20 do
  redis.call("HSET", key, "field:" .. n, text .. n)
  local found = redis.call("HMGET", key, "field:" .. n, "field:1", "no such field")
  redis.call("HINCRBY", key, "sum", #found[1])
  for word in text:gmatch("[^|]+") do tonumber(word) end
end
return redis.call("HGET", key, "sum")
"""


@dataclass(frozen=True, slots=True)
class _Thing:
    name: str
    number: int
    parts: tuple[str, ...]

    def label(self) -> str:
        return f"{self.name}:{self.number}"


def _python(times: int) -> dict[str, _Thing]:
    kept: dict[str, _Thing] = {}
    line = "a|b|c"
    for number in range(times):
        thing = _Thing(f"thing-{number % 50}", number, tuple(line.split("|")))
        kept[thing.label()] = thing
        facts = {
            name.lower(): str(value) for name, value in (("A", 1), ("B", False), ("C", number))
        }
        if facts.get("b") != "True" and any(part in facts for part in thing.parts):
            json.loads(json.dumps(facts))
        kept.pop(min(kept))
    return kept


def new_lua() -> Modules:
    """A state in which the same work costs the same every time."""
    lua = Modules()
    lua.run(_PREPARE)
    return lua


def works(lua: Modules) -> list[Work]:
    """Those that need no server."""
    return [Work(PYTHON, PYTHON, 100, _python), Work(LUA, LUA, 20, lua.run(_LUA))]
