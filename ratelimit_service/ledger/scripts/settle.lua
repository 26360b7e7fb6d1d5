-- Replaces a reservation by what the request really took, once, however often it is asked to.
--
-- KEYS  see prelude.lua
-- ARGV  1 clock: microseconds, or "" for Redis's own
--       2 reservation id   3 tokens   4 nano-dollars
--       5 "day|week|month" that the id was made in
--       6 row of the history, see prelude.lua, or ""   7 "input|output|cached tokens|errors"
--       8.. the scopes it was admitted in, "~" after those that nothing was reserved in
-- Returns what it did:
--   "settled"    the reservation was held
--   "corrected"  its lease had ended; what that charged was changed into what it really took
--   "unknown"    nothing is known of it: counted and charged now, as of when its id was made
--   "counted"    so it was, and nothing had been reserved here
--   "duplicate"  it was settled before; nothing changed
--   "too_old"    nothing is known of it, and a settlement of that day may have been forgotten

local UNKNOWN_CHARGED_MS = 3 * DAY_MS -- a day less than "done" is kept, for clocks that differ
local FIRST_SCOPE = 8

local id, tokens, nano, row = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[6]

local function remember_usage(day, requests, cost)
  local input, output, cached, errors = string.match(ARGV[7], "^(%d+)|(%d+)|(%d+)|(%d+)$")
  record_usage(row, day, {
    requests, tonumber(input), tonumber(output), tonumber(cached), cost, tonumber(errors),
  })
end

-- Each scope of the arguments, and its mark.
local function told_scopes()
  return string.gmatch(table.concat(ARGV, ",", FIRST_SCOPE), "([^,~]+)(~?)")
end

local function settle_held(hold)
  end_hold(id, hold, tokens, nano)
  remember_usage(hold.at.day, 1, nano)
  remember_done(id, "settled")
  return "settled"
end

local function correct(record)
  local charged_tokens, charged_nano, day, week, month, bucket =
    string.match(record, "^expired|(%d+)|(%d+)|([^|]*)|([^|]*)|([^|]*)|(%d+)$")
  local more_tokens, more_nano = tokens - tonumber(charged_tokens), nano - tonumber(charged_nano)
  for scope in told_scopes() do
    charge(scope, { day = day, week = week, month = month }, more_tokens, more_nano)
    correct_tokens(scope, bucket, more_tokens)
  end
  remember_usage(day, 0, more_nano)
  remember_done(id, "settled")
  return "corrected"
end

local function charge_unknown()
  local now_ms = math.floor(clock(ARGV[1]) / 1000)
  if now_ms - id_millis(id) > UNKNOWN_CHARGED_MS then
    return "too_old"
  end
  birth(now_ms)
  local day, week, month = string.match(ARGV[5], "^([^|]+)|([^|]+)|([^|]+)$")
  local done = "counted"
  for scope, mark in told_scopes() do
    charge(scope, { day = day, week = week, month = month }, tokens, nano)
    count_request(scope, day, 1)
    done = mark == COUNTED_ONLY and done or "unknown"
  end
  remember_usage(day, 1, nano)
  remember_done(id, "settled")
  return done
end

local hold = read_hold(id)
if hold then
  return settle_held(hold)
end
local record = redis.call("HGET", done_key(id), id)
if not record or record == "withdrawn" then
  return charge_unknown()
end
if record == "settled" then
  return "duplicate"
end
return correct(record)
