-- When a slot was first used: one that comes back empty is told by it.
--
-- KEYS  see prelude.lua
-- ARGV  1 clock: microseconds, or "" for Redis's own
-- Returns epoch milliseconds, of now for a slot that was never used.

local born = birth(open_slot(KEYS[1]), math.floor(clock(ARGV[1]) / 1000))
write()
return whole(born)
