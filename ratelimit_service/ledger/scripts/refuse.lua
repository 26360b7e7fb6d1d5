-- Counts refusals in the history.
--
-- KEYS  see prelude.lua
-- ARGV  1 day   2 days kept   3.. pairs: "project|key|alias|code", how many

local key = counter_key("usage", ARGV[1])
for place = 3, #ARGV, 2 do
  redis.call("HINCRBY", key, ARGV[place], ARGV[place + 1])
end
redis.call("EXPIRE", key, tonumber(ARGV[2]) * DAY_SECONDS)
return "counted"
