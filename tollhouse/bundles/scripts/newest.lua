-- The bundle in force.
--
-- KEYS[1]  th:{policy}:current  STRING  the serial in force
-- KEYS[2]  th:{policy}:bundles  HASH    serial → bundle, of the last ones
-- Returns {serial, bundle}; false in place of what is not there.
local serial = redis.call('GET', KEYS[1])
return {serial, serial and redis.call('HGET', KEYS[2], serial)}
