-- Puts a bundle in force, unless another publisher was first.
--
-- KEYS[1]  th:{policy}:current  STRING  the serial in force
-- KEYS[2]  th:{policy}:bundles  HASH    serial → bundle, of the last ones
-- ARGV[1]  its serial
-- ARGV[2]  the bundle
-- ARGV[3]  the serial it must replace (0: none), or '' for whichever is lower
-- ARGV[4]  how many bundles are kept
-- Returns {1 if it was put, else 0; the serial that was in force, '0' if none}.
local current = redis.call('GET', KEYS[1]) or '0'
if tonumber(ARGV[1]) <= tonumber(current) or (ARGV[3] ~= '' and ARGV[3] ~= current) then
  return {0, current}
end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
redis.call('SET', KEYS[1], ARGV[1])
local serials = redis.call('HKEYS', KEYS[2])
table.sort(serials, function(a, b) return tonumber(a) > tonumber(b) end)
for at = tonumber(ARGV[4]) + 1, #serials do
  redis.call('HDEL', KEYS[2], serials[at])
end
return {1, current}
