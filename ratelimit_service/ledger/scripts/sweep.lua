-- Ends reservations whose lease is over: charged in full or released, as the claim said.
--
-- KEYS  see prelude.lua
-- ARGV  1 clock: microseconds, or "" for Redis's own
--       2 how many to end at most
-- Returns how many were ended.

return sweep(clock(ARGV[1]), tonumber(ARGV[2]))
