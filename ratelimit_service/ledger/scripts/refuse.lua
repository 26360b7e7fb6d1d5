-- Counts refusals in the history.
--
-- KEYS  see prelude.lua
-- ARGV  1 day   2 days kept   3.. pairs: "project|key|alias|code", how many

local kept = tonumber(ARGV[2]) * DAY_SECONDS
local usage = hash(open_slot(KEYS[1]).stem .. "usage:" .. ARGV[1], kept)
for place = 3, #ARGV, 2 do
  add(usage, ARGV[place], tonumber(ARGV[place + 1]))
end
write()
return "counted"
