-- Reads the counters of some scopes, and changes nothing.
--
-- KEYS  see prelude.lua
-- ARGV  1 clock: microseconds, or "" for Redis's own   2 days, as for admit.lua   3.. scopes
-- Returns { "day|week|month", states }, the states those of admit.lua
-- Error CLOCK if none of the days holds the time.

local FIRST_SCOPE = 3

local slot = open_slot(KEYS[1])
local now = clock(ARGV[1])
local second = math.floor(now / MICROS)
local at = day_at(second, ARGV[2])
if not at then
  return redis.error_reply("CLOCK the time is in none of the days given")
end

-- Requests and tokens that count, and ms until none does.
local function read_window(scope)
  local requests, tokens, last = 0, 0, nil
  local fields = redis.call("HGETALL", slot.stem .. "win:" .. scope)
  for place = 1, #fields, 2 do
    local kind, bucket = string.match(fields[place], "^([rt]):(%d+)$")
    bucket = tonumber(bucket)
    if bucket and bucket > second - WINDOW_SECONDS then
      local amount = tonumber(fields[place + 1])
      requests = kind == "r" and requests + amount or requests
      tokens = kind == "t" and tokens + amount or tokens
      last = math.max(last or bucket, bucket)
    end
  end
  local reset = last and math.ceil(((last + WINDOW_SECONDS) * MICROS - now) / 1000) or 0
  return requests, requests > 0 and reset or 0, tokens, tokens > 0 and reset or 0
end

local day, week = counters(slot, "day", at.day), counters(slot, "week", at.week)
local month = counters(slot, "month", at.month)
local states = {}
for place = FIRST_SCOPE, #ARGV do
  local scope = ARGV[place]
  local requests, requests_reset, tokens, tokens_reset = read_window(scope)
  for _, figure in ipairs({
    requests, requests_reset, tokens, tokens_reset,
    number(day, scope .. "|requests"), number(day, scope .. "|tokens"),
    number(day, scope .. "|nano"), number(week, scope), number(month, scope),
    number(slot.held, scope .. "|nano"), number(slot.held, scope .. "|tokens"),
    number(slot.held, scope .. "|calls"),
  }) do
    states[#states + 1] = figure
  end
end
return { at.day .. "|" .. at.week .. "|" .. at.month, states }
