-- Claims an alert: for a while only the claimer delivers, of all alerts of one budget and period.
--
-- KEYS  1 HASH of one budget in one period, or of one spike:
--         told:<percent>  nano-dollars that were spent when this threshold was told
--         owner, until    who delivers now, until when (epoch ms); owner "": not before then
-- ARGV  1 clock: microseconds, or "" for Redis's own   2 owner   3 lease, ms   4 percent
--       5 threshold, nano-dollars   6 seconds that the key is kept
-- Returns "claimed"; "told": it was, when no less than the threshold was spent; "busy": somebody
-- delivers, or a delivery failed a moment ago.

local told = redis.call("HGET", KEYS[1], "told:" .. ARGV[4])
-- A budget that was raised since has a higher threshold, which is told again.
if told and tonumber(told) >= tonumber(ARGV[5]) then
  return "told"
end

local now_ms
if ARGV[1] == "" then
  local time = redis.call("TIME")
  now_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
else
  now_ms = math.floor(tonumber(ARGV[1]) / 1000)
end
if now_ms < tonumber(redis.call("HGET", KEYS[1], "until") or 0) then
  return "busy"
end

redis.call("HSET", KEYS[1], "owner", ARGV[2], "until", string.format("%.0f", now_ms + ARGV[3]))
redis.call("EXPIRE", KEYS[1], ARGV[6])
return "claimed"
