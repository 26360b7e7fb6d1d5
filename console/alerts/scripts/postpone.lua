-- After a failed delivery: its owner gives up the claim, and nobody claims for a while.
--
-- KEYS  1 as for claim.lua
-- ARGV  1 clock, as for claim.lua   2 owner   3 ms

if redis.call("HGET", KEYS[1], "owner") ~= ARGV[2] then
  return "not yours"
end
local now_ms
if ARGV[1] == "" then
  local time = redis.call("TIME")
  now_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
else
  now_ms = math.floor(tonumber(ARGV[1]) / 1000)
end
redis.call("HSET", KEYS[1], "owner", "", "until", string.format("%.0f", now_ms + ARGV[3]))
return "postponed"
