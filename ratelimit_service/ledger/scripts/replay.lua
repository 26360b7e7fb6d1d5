-- What a replay of logs must know of a slot, and notes in it before it settles lines older than it.
--
-- KEYS  see prelude.lua
-- ARGV  1 clock: microseconds, or "" for Redis's own
--       2 when the oldest of these lines' reservations was made, epoch ms, or "" to note nothing
-- Returns { born, from, at, now }, epoch ms: when the slot was first used, which is now for one that
--   never was; how old the lines were that replays have settled, and when the first one did, both 0
--   if none has.

local REPLAYED = STEM .. "replayed"

local now_ms = math.floor(clock(ARGV[1]) / 1000)
local born = birth(now_ms)
local oldest = tonumber(ARGV[2])
if oldest then
  local from = tonumber(redis.call("HGET", REPLAYED, "from") or math.huge)
  redis.call("HSETNX", REPLAYED, "at", whole(now_ms))
  redis.call("HSET", REPLAYED, "from", whole(math.min(from, oldest)))
  redis.call("EXPIRE", REPLAYED, COUNTERS_KEPT.month)
end
local noted = redis.call("HMGET", REPLAYED, "from", "at")
return { whole(born), noted[1] or "0", noted[2] or "0", whole(now_ms) }
