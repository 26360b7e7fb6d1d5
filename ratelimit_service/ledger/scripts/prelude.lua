-- What the ledger's scripts share. It is put in front of each of them when they are loaded, so
-- that each stays one EVAL: Redis scripts cannot call one another.
--
-- KEYS, of every script: 1 spend, 2 holds, 3 leases of one slot. The keys of windows and of ended
-- reservations are derived from the first; they carry its hash tag, so a cluster has them in the
-- same place.
--
-- Stored forms:
--   holds   id → "bucket|tokens|nano|month|on_lost|scope,scope,…"   bucket: epoch second
--   done    id → "settled", or "expired|tokens|nano|month|bucket" with what was charged
--   window  r:<second>, t:<second>  requests and tokens admitted in that second
--           rs, ts                  their sums over the buckets that are kept
--           head, last              oldest second that may be kept, newest second admitted in
--
-- The window. A request that came at 10.9 s counts until 70.9 s. Its bucket is second 10, which may
-- hold one as late as 10.999…, so the whole bucket counts until 71.0 s: 61 buckets, and never more
-- than the limit in any 60 s.
--
--   second   10   11   …   70   71
--   admit    3    2                      r:10=3 r:11=2 rs=5 head=10
--   at 70.9                5 in use      second 10 is 60.9 s old, and still counts
--   at 71.0                2 in use      r:10 is dropped, rs=2, head=11
--
-- Numbers are doubles here: whole up to 2^53. They are written with "%.0f", as tostring() would
-- write 1e+15. Amounts only added to are left to HINCRBY, which is 64 bits wide.

local SPEND, HOLDS, LEASES = KEYS[1], KEYS[2], KEYS[3]
local STEM = string.sub(SPEND, 1, -6) -- without "spend"

local MICROS = 1000000
local WINDOW_SECONDS = 61
local WINDOW_KEPT_SECONDS = 120 -- an idle window is forgotten; anything above 61 will do
local DAY_MS = 86400000
local DONE_KEPT_SECONDS = 4 * 86400

local function whole(number)
  return string.format("%.0f", number)
end

-- Microseconds since 1970. Redis's own clock, unless a test gives one.
local function clock(override)
  if override ~= "" then
    return tonumber(override)
  end
  local time = redis.call("TIME")
  return tonumber(time[1]) * MICROS + tonumber(time[2])
end

-- Of `months`, a list of "label|first second|first second after", the one that holds `second`: its
-- label and its end, or nil.
local function month_at(second, months)
  for label, starts, ends in string.gmatch(months, "([^|,]+)|(%d+)|(%d+)") do
    if second >= tonumber(starts) and second < tonumber(ends) then
      return label, tonumber(ends)
    end
  end
  return nil
end

local function spend_field(scope, month, part)
  return scope .. "|" .. month .. "|" .. part
end

local function add_spend(scope, month, part, amount)
  if amount == 0 then
    return
  end
  local field = spend_field(scope, month, part)
  if redis.call("HINCRBY", SPEND, field, whole(amount)) == 0 then
    redis.call("HDEL", SPEND, field)
  end
end

local function window_key(scope)
  return STEM .. "win:" .. scope
end

-- Changes the tokens of a bucket that is still kept; one that has left the window stays gone.
local function correct_tokens(scope, bucket, amount)
  local key = window_key(scope)
  if amount ~= 0 and redis.call("HEXISTS", key, "r:" .. bucket) == 1 then
    redis.call("HINCRBY", key, "t:" .. bucket, whole(amount))
    redis.call("HINCRBY", key, "ts", whole(amount))
  end
end

local function id_millis(id)
  return tonumber(string.sub(id, 1, 12), 16)
end

local function done_key(id)
  return STEM .. "done:" .. whole(math.floor(id_millis(id) / DAY_MS))
end

local function remember_done(id, record)
  local key = done_key(id)
  redis.call("HSET", key, id, record)
  redis.call("EXPIRE", key, DONE_KEPT_SECONDS)
end

local function read_hold(id)
  local packed = redis.call("HGET", HOLDS, id)
  if not packed then
    return nil
  end
  local bucket, tokens, nano, month, on_lost, scopes =
    string.match(packed, "^(%d+)|(%d+)|(%d+)|([^|]*)|([^|]*)|(.*)$")
  return {
    bucket = bucket,
    tokens = tonumber(tokens),
    nano = tonumber(nano),
    month = month,
    on_lost = on_lost,
    scopes = scopes,
  }
end

-- Ends a hold: its reservation is replaced, in every scope, by `tokens` and `nano`. The money goes
-- to the month of the admission, whose budget had room for it.
local function end_hold(id, hold, tokens, nano)
  for scope in string.gmatch(hold.scopes, "[^,]+") do
    add_spend(scope, hold.month, "held", -hold.nano)
    add_spend(scope, hold.month, "settled", nano)
    correct_tokens(scope, hold.bucket, tokens - hold.tokens)
  end
  redis.call("HDEL", HOLDS, id)
  redis.call("ZREM", LEASES, id)
end

local function expire_hold(id)
  local hold = read_hold(id)
  if not hold then
    redis.call("ZREM", LEASES, id)
    return
  end
  local charged = hold.on_lost == "charge"
  local tokens, nano = charged and hold.tokens or 0, charged and hold.nano or 0
  end_hold(id, hold, tokens, nano)
  local record = { "expired", whole(tokens), whole(nano), hold.month, hold.bucket }
  remember_done(id, table.concat(record, "|"))
end

-- Ends at most `most` reservations whose lease is over. Returns how many it ended.
local function sweep(now, most)
  local now_ms = whole(math.floor(now / 1000))
  local lost = redis.call("ZRANGEBYSCORE", LEASES, "-inf", now_ms, "LIMIT", 0, most)
  for _, id in ipairs(lost) do
    expire_hold(id)
  end
  return #lost
end
