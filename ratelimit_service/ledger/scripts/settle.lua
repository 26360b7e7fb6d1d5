-- Replaces a reservation by what the request really took, once, however often it is asked to.
--
-- KEYS  see prelude.lua
-- ARGV  1 clock: microseconds, or "" for Redis's own
--       2 reservation id   3 tokens   4 nano-dollars
--       5 months: "label|first epoch second|first epoch second after,…"
--       6.. the scopes it was admitted in
-- Returns what it did:
--   "settled"    the reservation was held
--   "corrected"  its lease had ended; what that charged was changed into what it really took
--   "unknown"    nothing is known of it: charged, to the month that its id was made in
--   "duplicate"  it was settled before; nothing changed
--   "too_old"    nothing is known of it, and a settlement of that day may have been forgotten
-- Error CLOCK if none of the months holds the time.

local UNKNOWN_CHARGED_MS = 3 * DAY_MS -- a day less than "done" is kept, for clocks that differ
local FIRST_SCOPE = 6

local id, tokens, nano, months = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]

local function settle_held(hold)
  end_hold(id, hold, tokens, nano)
  remember_done(id, "settled")
  return "settled"
end

local function correct(record)
  local charged_tokens, charged_nano, month, bucket =
    string.match(record, "^expired|(%d+)|(%d+)|([^|]*)|(%d+)$")
  for at = FIRST_SCOPE, #ARGV do
    add_spend(ARGV[at], month, "settled", nano - tonumber(charged_nano))
    correct_tokens(ARGV[at], bucket, tokens - tonumber(charged_tokens))
  end
  remember_done(id, "settled")
  return "corrected"
end

local function charge_unknown()
  local now = clock(ARGV[1])
  local month = month_at(id_millis(id) / 1000, months)
    or month_at(math.floor(now / MICROS), months)
  if not month then
    return redis.error_reply("CLOCK the time is in none of the months given")
  end
  if now / 1000 - id_millis(id) > UNKNOWN_CHARGED_MS then
    return "too_old"
  end
  for at = FIRST_SCOPE, #ARGV do
    add_spend(ARGV[at], month, "settled", nano)
  end
  remember_done(id, "settled")
  return "unknown"
end

local hold = read_hold(id)
if hold then
  return settle_held(hold)
end
local record = redis.call("HGET", done_key(id), id)
if not record then
  return charge_unknown()
end
if record == "settled" then
  return "duplicate"
end
return correct(record)
