-- Marks an alert as told, with the thresholds below it, and ends the claim of its owner.
--
-- KEYS  1 as for claim.lua
-- ARGV  1 owner   2 nano-dollars spent when it was told   3 seconds that the key is kept
--       4.. percentages

for place = 4, #ARGV do
  local field = "told:" .. ARGV[place]
  if tonumber(redis.call("HGET", KEYS[1], field) or -1) < tonumber(ARGV[2]) then
    redis.call("HSET", KEYS[1], field, ARGV[2])
  end
end
if redis.call("HGET", KEYS[1], "owner") == ARGV[1] then
  redis.call("HDEL", KEYS[1], "owner", "until")
end
redis.call("EXPIRE", KEYS[1], ARGV[3])
return "marked"
