-- Gives back an admission as if it had never been: another slot refused the same request, or the
-- request went no further. A reservation that is not held stays as it is.
--
-- KEYS  see prelude.lua
-- ARGV  1 reservation id, or "" to find it by the next   2 Envoy's request id, or ""
--       3 1 if the admission may be still on its way: it is refused when it comes; else 0
-- Returns 1 if the reservation was held, else 0.

local slot = open_slot(KEYS[1])
local id = ARGV[1]
if id == "" then
  id = text(slot.requests, ARGV[2])
end
local hold, scopes
if id then
  hold, scopes = read_hold(slot, id)
end
if not hold then
  local given_back = id and located({ id = id })
  if id and ARGV[3] == "1" and not ending(slot, given_back) then
    note_ending(slot, given_back, WITHDRAWN)
    write()
  end
  return 0
end

local empty = {}

-- The bucket may be the last thing in its window; an empty window leaves no key behind.
local function give_back_request(scope)
  local found, field = window(slot, scope), "r:" .. hold.bucket
  if not text(found, field) then
    return
  end
  add(found, "rs", -1)
  add(found, field, -1)
  if number(found, "rs") == 0 then
    found.added = nil
    empty[#empty + 1] = found.key
  elseif number(found, field) == 0 then
    found.added["t:" .. hold.bucket] = nil
    put(found, "t:" .. hold.bucket, false)
  end
end

end_hold(slot, id, hold, scopes, 0, 0)
sum_up() -- which counts the request where it counts at its end
local at = periods(slot, hold.day, hold.week, hold.month)
for scope in each_scope(scopes) do
  count_request(at, scope, -1)
  give_back_request(scope)
end
write()
for _, key in ipairs(empty) do
  redis.call("DEL", key)
end
return 1
