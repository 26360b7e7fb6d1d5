-- What the ledger's scripts share. It is put in front of each of them when they are loaded, so
-- that each stays one EVAL: Redis scripts cannot call one another.
--
-- KEYS, of every script: 1 held, 2 holds, 3 leases of one slot. The other keys of the slot are
-- derived from the first; they carry its hash tag, so a cluster has them in the same place.
--
-- Stored forms:
--   held      <scope>|nano, <scope>|tokens, <scope>|calls   what running calls hold, summed
--   holds     id → "bucket|tokens|nano|expected|day|week|month|on_lost|request|scopes|row"
--             bucket: epoch second; request: Envoy's request id; scopes: comma between, "*" after
--             one that holds `expected` instead of `nano`, "~" after one that holds nothing and
--             counts when the call ends; row: see record_usage
--   requests  Envoy's request id → id, while it is held
--   done      id → "settled", "withdrawn", or
--             "expired|tokens|nano|day|week|month|bucket" with what was charged
--   day       <scope>|nano, <scope>|tokens: settled; <scope>|requests: admitted ("~": ended)
--   week, month   <scope> → nano, settled
--   usage     project|key|alias → "requests|input|output|cached|nano|errors"
--             project|key|alias|code → refusals
--   born      ms → when the slot was first used
--   window    r:<second>, t:<second>  requests and tokens admitted in that second
--             rs, ts                  their sums over the buckets that are kept
--             head, last              oldest second that may be kept, newest second admitted in
--
-- The window. A request that came at 10.9 s counts until 70.9 s. Its bucket is second 10, which may
-- hold one as late as 10.999…, so the whole bucket counts until 71.0 s; and one second more, so
-- that the limit holds at the provider too, where a request may arrive later than the next one.
-- That is 62 buckets, and never more than the limit in any 61 s.
--
--   second   10   11   …   71   72
--   admit    3    2                      r:10=3 r:11=2 rs=5 head=10
--   at 71.9                5 in use      second 10 still counts
--   at 72.0                2 in use      r:10 is dropped, rs=2, head=11
--
-- Numbers are doubles here: whole up to 2^53. They are written with "%.0f", as tostring() would
-- write 1e+15. Amounts only added to are left to HINCRBY, which is 64 bits wide.

local HELD, HOLDS, LEASES = KEYS[1], KEYS[2], KEYS[3]
local STEM = string.sub(HELD, 1, -5) -- without "held"
local REQUESTS = STEM .. "requests"

-- While a cluster moves this slot, some of its keys are on this node and some are not. Reading one
-- that is not fails; here no script has written anything yet. This one is never anywhere. What has
-- no hash tag is one key, and moves as one.
if string.find(HELD, "{", 1, true) then
  redis.call("EXISTS", STEM .. "moving")
end

local MICROS = 1000000
local WINDOW_SECONDS = 62
local WINDOW_KEPT_SECONDS = 120 -- an idle window is forgotten; anything above 62 will do
local DAY_SECONDS = 86400
local DAY_MS = 1000 * DAY_SECONDS
local DONE_KEPT_SECONDS = 4 * DAY_SECONDS
local DONE_TOGETHER_MS = 30000
-- Longer than "done": what is corrected is still there.
local COUNTERS_KEPT = { day = 8 * DAY_SECONDS, week = 45 * DAY_SECONDS, month = 400 * DAY_SECONDS }

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

-- Of `days`, a list of "day|first second|first second after|week|its end|month|its end,…", the one
-- that holds `second`, or nil.
local function day_at(second, days)
  for day, starts, ends, week, week_ends, month, month_ends in
    string.gmatch(days, "([^|,]+)|(%d+)|(%d+)|([^|,]+)|(%d+)|([^|,]+)|(%d+)")
  do
    if second >= tonumber(starts) and second < tonumber(ends) then
      return {
        day = day, week = week, month = month,
        day_ends = tonumber(ends), week_ends = tonumber(week_ends), month_ends = tonumber(month_ends),
      }
    end
  end
  return nil
end

-- Adds to a field, which is gone when it comes to 0. A key with `kept` lives that many seconds
-- after its youngest field began.
local function add(key, field, amount, kept)
  if amount == 0 then
    return
  end
  local sum = redis.call("HINCRBY", key, field, whole(amount))
  if sum == 0 then
    redis.call("HDEL", key, field)
  elseif kept and sum == amount then
    redis.call("EXPIRE", key, kept)
  end
end

local function counter_key(kind, label)
  return STEM .. kind .. ":" .. label
end

-- Adds to what is settled. `at`: the labels day, week and month.
local function charge(scope, at, tokens, nano)
  add(counter_key("day", at.day), scope .. "|nano", nano, COUNTERS_KEPT.day)
  add(counter_key("day", at.day), scope .. "|tokens", tokens, COUNTERS_KEPT.day)
  add(counter_key("week", at.week), scope, nano, COUNTERS_KEPT.week)
  add(counter_key("month", at.month), scope, nano, COUNTERS_KEPT.month)
end

local function count_request(scope, day, amount)
  add(counter_key("day", day), scope .. "|requests", amount, COUNTERS_KEPT.day)
end

-- Adds to the history. `row`: "days kept|project|key|alias", "" in a slot that keeps none.
-- `amounts`: requests, input, output and cached tokens, nano-dollars, errors.
local function record_usage(row, day, amounts)
  local kept, field = string.match(row, "^(%d+)|(.+)$")
  if not kept then
    return
  end
  local key = counter_key("usage", day)
  local stored = redis.call("HGET", key, field)
  local at = 0
  for sum in string.gmatch(stored or "", "[^|]+") do
    at = at + 1
    amounts[at] = amounts[at] + tonumber(sum)
  end
  for place, amount in ipairs(amounts) do
    amounts[place] = whole(amount)
  end
  redis.call("HSET", key, field, table.concat(amounts, "|"))
  if not stored then
    redis.call("EXPIRE", key, tonumber(kept) * DAY_SECONDS)
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

-- When this slot was first used, epoch ms; `now_ms` if that is now.
local function birth(now_ms)
  local key = STEM .. "born"
  local born = redis.call("HGET", key, "ms")
  if born then
    return tonumber(born)
  end
  redis.call("HSET", key, "ms", whole(now_ms))
  return now_ms
end

local function id_millis(id)
  return tonumber(string.sub(id, 1, 12), 16)
end

-- Redis stores a hash of up to 128 fields compactly: half a minute of ids takes a third of what it
-- would in one hash of a day.
local function done_key(id)
  return STEM .. "done:" .. whole(math.floor(id_millis(id) / DONE_TOGETHER_MS))
end

local function remember_done(id, record)
  local key = done_key(id)
  redis.call("HSET", key, id, record)
  redis.call("EXPIRE", key, DONE_KEPT_SECONDS)
end

local HOLD = "^(%d+)|(%d+)|(%d+)|(%d+)|([^|]*)|([^|]*)|([^|]*)|([^|]*)|([^|]*)|([^|]*)|(.*)$"

local function read_hold(id)
  local packed = redis.call("HGET", HOLDS, id)
  if not packed then
    return nil
  end
  local bucket, tokens, nano, expected, day, week, month, on_lost, request, scopes, row =
    string.match(packed, HOLD)
  return {
    bucket = bucket,
    tokens = tonumber(tokens),
    nano = tonumber(nano),
    expected = tonumber(expected),
    at = { day = day, week = week, month = month },
    on_lost = on_lost,
    request = request,
    scopes = scopes,
    row = row,
  }
end

local COUNTED_ONLY = "~"

-- Each scope of a hold, and its mark: see the stored forms.
local function each_scope(hold)
  return string.gmatch(hold.scopes, "([^,*~]+)([*~]?)")
end

-- Ends a hold: its reservation is replaced, in every scope, by `tokens` and `nano`. They go to the
-- day, week and month of the admission, whose budgets had room for them.
local function end_hold(id, hold, tokens, nano)
  for scope, mark in each_scope(hold) do
    charge(scope, hold.at, tokens, nano)
    if mark == COUNTED_ONLY then
      count_request(scope, hold.at.day, 1)
    else
      add(HELD, scope .. "|nano", mark == "*" and -hold.expected or -hold.nano)
      add(HELD, scope .. "|tokens", -hold.tokens)
      add(HELD, scope .. "|calls", -1)
      correct_tokens(scope, hold.bucket, tokens - hold.tokens)
    end
  end
  redis.call("HDEL", HOLDS, id)
  redis.call("ZREM", LEASES, id)
  if hold.request ~= "" then
    redis.call("HDEL", REQUESTS, hold.request)
  end
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
  record_usage(hold.row, hold.at.day, { 1, 0, 0, 0, nano, 0 })
  local at = hold.at
  local record =
    { "expired", whole(tokens), whole(nano), at.day, at.week, at.month, hold.bucket }
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
