-- What a replay of logs must know of a slot, and notes in it before it settles lines older than it.
--
-- KEYS  see prelude.lua
-- ARGV  1 clock: microseconds, or "" for Redis's own
--       2 when the oldest of these lines' reservations was made, epoch ms, or "" to note nothing
-- Returns { born, from, at, now }, epoch ms: when the slot was first used, which is now for one that
--   never was; how old the lines were that replays have settled, and when the first one did, both 0
--   if none has.

local slot = open_slot(KEYS[1])
local replayed = hash(slot.stem .. "replayed", COUNTERS_KEPT.month)

local now_ms = math.floor(clock(ARGV[1]) / 1000)
local born = birth(slot, now_ms)
local oldest = tonumber(ARGV[2])
if oldest then
  local from = tonumber(text(replayed, "from") or math.huge)
  if not text(replayed, "at") then
    put(replayed, "at", whole(now_ms))
  end
  put(replayed, "from", whole(math.min(from, oldest)))
end
local from, at = text(replayed, "from") or "0", text(replayed, "at") or "0"
write()
return { whole(born), from, at, whole(now_ms) }
