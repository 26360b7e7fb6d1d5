-- Gives back an admission as if it had never been: another slot refused the same request, or the
-- request went no further. A reservation that is not held stays as it is.
--
-- KEYS  see prelude.lua
-- ARGV  1 reservation id, or "" to find it by the next   2 Envoy's request id, or ""
--       3 1 if the admission may be still on its way: it is refused when it comes; else 0
-- Returns 1 if the reservation was held, else 0.

local id = ARGV[1]
if id == "" then
  id = redis.call("HGET", REQUESTS, ARGV[2])
end
local hold = id and read_hold(id)
if not hold then
  if id and ARGV[3] == "1" and redis.call("HEXISTS", done_key(id), id) == 0 then
    remember_done(id, "withdrawn")
  end
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

end_hold(id, hold, 0, 0) -- which counts the request where it counts at its end
for scope in each_scope(hold) do
  count_request(scope, hold.at.day, -1)
  give_back_request(scope, hold.bucket)
end
return 1
