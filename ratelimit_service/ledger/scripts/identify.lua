-- Which ledger this is: a store that comes back empty is another one.
--
-- KEYS  1 HASH { id, born: when it was first seen, epoch ms }
-- ARGV  1 clock: microseconds, or "" for Redis's own   2 an id, for a store that has none
-- Returns { id, born }

if redis.call("HSETNX", KEYS[1], "id", ARGV[2]) == 1 then
  redis.call("HSET", KEYS[1], "born", whole(math.floor(clock(ARGV[1]) / 1000)))
end
return redis.call("HMGET", KEYS[1], "id", "born")
