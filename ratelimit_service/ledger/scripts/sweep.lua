-- Ends reservations whose lease is over: charged in full or released, as the claim said.
--
-- KEYS  see prelude.lua
-- ARGV  1 clock: microseconds, or "" for Redis's own
--       2 how many to end at most
-- Returns how many were ended.

local swept = sweep(open_slot(KEYS[1]), clock(ARGV[1]), tonumber(ARGV[2]))
sum_up()
write()
return swept
