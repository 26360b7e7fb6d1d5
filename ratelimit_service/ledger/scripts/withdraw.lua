-- Gives back an admission as if it had never been: another slot refused the same request, or the
-- request went no further. Nothing is remembered. A reservation that is not held stays as it is.
--
-- KEYS  see prelude.lua
-- ARGV  1 reservation id
-- Returns 1 if the reservation was held, else 0.

local id = ARGV[1]
local hold = read_hold(id)
if not hold then
  return 0
end

-- The bucket may be the last thing in its window; an empty window leaves no key behind.
local function give_back_request(scope, bucket)
  local key = window_key(scope)
  if redis.call("HEXISTS", key, "r:" .. bucket) == 0 then
    return
  end
  if redis.call("HINCRBY", key, "rs", -1) == 0 then
    redis.call("DEL", key)
  elseif redis.call("HINCRBY", key, "r:" .. bucket, -1) == 0 then
    redis.call("HDEL", key, "r:" .. bucket, "t:" .. bucket)
  end
end

end_hold(id, hold, 0, 0)
for scope in string.gmatch(hold.scopes, "[^,]+") do
  give_back_request(scope, hold.bucket)
end
return 1
