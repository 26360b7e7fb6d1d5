-- A serial for one publication, higher than every one before it.
--
-- KEYS[1]  th:{policy}:minted   STRING  the last serial given out
-- Returns the serial.
--
-- It is the time in ms, or one more than the last. A Redis that lost the last one then still gives
-- a higher serial than those that replicas hold.
local time = redis.call('TIME')
local serial = time[1] * 1000 + math.floor(time[2] / 1000)
local last = tonumber(redis.call('GET', KEYS[1]) or 0)
if serial <= last then
  serial = last + 1
end
-- Lua writes large numbers as 1.79e+12.
local text = string.format('%.0f', serial)
redis.call('SET', KEYS[1], text)
return text
