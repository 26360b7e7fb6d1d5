-- Admits one request at every scope of a slot, or at none.
--
-- KEYS  see prelude.lua
-- ARGV  1 clock: microseconds, or "" for Redis's own
--       2 reservation id   3 Envoy's request id, or ""
--       4 tokens   5 nano-dollars, the worst case   6 nano-dollars expected, for soft budgets
--       7 lease, ms   8 "charge" | "release"   9 row of the history, see prelude.lua, or ""
--       10 days: "day|first epoch second|first epoch second after|week|its end|month|its end,…"
--       11 scopes that count when the call ends, with commas between, or ""
--       12.. scopes: "scope|requests_per_minute|tokens_per_minute|requests_per_day|tokens_per_day|
--           max_parallel_requests|daily|weekly|monthly nano-dollars|soft", with nothing where there
--           is no limit; soft: 1 or nothing
-- Returns { "day|week|month", states, refusal, when the slot was first used (epoch ms) }
--   states   twelve per scope, after the admission or refusal:
--            requests in the window, ms until they are 0, tokens in it, ms until they are 0,
--            requests and settled tokens of the day, nano-dollars settled in day, week, month,
--            nano-dollars held, tokens held, calls running
--   refusal  {} if admitted, else { name of the limit, index of the scope from 0, limit, used, held,
--            retry after ms, end of the day, week or month (epoch seconds) or 0, 1 if it can never
--            fit, 1 if only what running calls hold stands in the way }; a refusal tells "0" for when
-- Error CLOCK if none of the days holds the time, ENDED if the id was given back before.
--
-- An id that is held already is not counted again, so that a client library which repeats a
-- command after a lost connection does no harm.

local SWEPT_AT_ONCE = 16 -- what is lost is ended by those who come after, a little at a time
local RESERVED_RETRY_MS = 1000 -- when others will end is not known
local FIRST_SCOPE = 12

local now = clock(ARGV[1])
local now_ms = math.floor(now / 1000)
local second = math.floor(now / MICROS)
local stamp = whole(second)
local requests_field, tokens_field = "r:" .. stamp, "t:" .. stamp
local id, request = ARGV[2], ARGV[3]
local tokens, nano, expected = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])

local at = day_at(second, ARGV[10])
if not at then
  return redis.error_reply("CLOCK the time is in none of the days given")
end
if redis.call("HEXISTS", done_key(id), id) == 1 then
  return redis.error_reply("ENDED the reservation was given back before it was made")
end

-- The milliseconds until the bucket of second `bucket` has left the window.
local function ms_until_gone(bucket)
  return math.ceil(((bucket + WINDOW_SECONDS) * MICROS - now) / 1000)
end

local function forget(window)
  redis.call("DEL", window.key)
  window.head, window.last, window.requests, window.tokens = second, second, 0, 0
  window.requests_now, window.tokens_now = 0, 0
end

-- The clock was set back, beyond all that is kept. Counted at its old time it would stay for as
-- long as the jump; forgotten it would let too many pass. So it counts as of now.
local function restamp(window)
  local requests, sum = window.requests, window.tokens
  forget(window)
  window.requests, window.tokens = requests, sum
  window.requests_now, window.tokens_now = requests, sum
  redis.call("HSET", window.key, "head", stamp, "last", stamp, "rs", whole(requests), "ts",
    whole(sum), requests_field, whole(requests), tokens_field, whole(sum))
  redis.call("EXPIRE", window.key, WINDOW_KEPT_SECONDS)
end

-- Takes the buckets of seconds head..newest out of the sums and out of the store. At most 61 of
-- them: a window whose every bucket is that old is forgotten whole.
local function drop(window, newest)
  local fields = {}
  for bucket = window.head, newest do
    fields[#fields + 1] = "r:" .. whole(bucket)
    fields[#fields + 1] = "t:" .. whole(bucket)
  end
  local values = redis.call("HMGET", window.key, unpack(fields))
  for place = 1, #values, 2 do
    window.requests = window.requests - (tonumber(values[place] or 0))
    window.tokens = window.tokens - (tonumber(values[place + 1] or 0))
  end
  window.head = newest + 1
  redis.call("HDEL", window.key, unpack(fields))
  redis.call("HSET", window.key, "head", whole(window.head), "rs", whole(window.requests), "ts",
    whole(window.tokens))
end

local function open_window(scope)
  local key = window_key(scope)
  local values = redis.call("HMGET", key, "head", "last", "rs", "ts", requests_field, tokens_field)
  local window = {
    key = key,
    head = tonumber(values[1] or second),
    last = tonumber(values[2] or second),
    requests = tonumber(values[3] or 0),
    tokens = tonumber(values[4] or 0),
    requests_now = tonumber(values[5] or 0),
    tokens_now = tonumber(values[6] or 0),
    fresh = values[2] == stamp, -- its times and its expiry were set in this second
  }
  local newest_gone = second - WINDOW_SECONDS
  if window.last <= newest_gone then
    forget(window)
  elseif window.head > second then
    restamp(window)
  elseif window.head <= newest_gone then
    drop(window, newest_gone)
  end
  return window
end

local function count(window)
  window.requests, window.tokens = window.requests + 1, window.tokens + tokens
  redis.call("HSET", window.key, "rs", whole(window.requests), "ts", whole(window.tokens),
    requests_field, whole(window.requests_now + 1),
    tokens_field, whole(window.tokens_now + tokens))
  if not window.fresh then
    window.last = math.max(window.last, second)
    redis.call("HSET", window.key, "head", whole(window.head), "last", whole(window.last))
    redis.call("EXPIRE", window.key, WINDOW_KEPT_SECONDS)
  end
end

-- When `need` more will fit: the oldest buckets leave first.
local function wait_ms(window, letter, used, need, limit)
  local fields = {}
  for bucket = window.head, window.last do
    fields[#fields + 1] = letter .. ":" .. whole(bucket)
  end
  local excess = used + need - limit
  for place, value in ipairs(redis.call("HMGET", window.key, unpack(fields))) do
    excess = excess - tonumber(value or 0)
    if excess <= 0 then
      return ms_until_gone(window.head + place - 1)
    end
  end
  return ms_until_gone(window.last)
end

local LIMITS = "^([^|]*)|(%d*)|(%d*)|(%d*)|(%d*)|(%d*)|(%d*)|(%d*)|(%d*)|(1?)$"

local function read_scope(packed)
  local name, rpm, tpm, rpd, tpd, parallel, daily, weekly, monthly, soft =
    string.match(packed, LIMITS)
  return {
    name = name,
    requests_per_minute = tonumber(rpm),
    tokens_per_minute = tonumber(tpm),
    requests_per_day = tonumber(rpd),
    tokens_per_day = tonumber(tpd),
    max_parallel_requests = tonumber(parallel),
    daily_spend_usd = tonumber(daily),
    weekly_spend_usd = tonumber(weekly),
    monthly_spend_usd = tonumber(monthly),
    soft = soft == "1",
    need = soft == "1" and expected or nano,
    window = open_window(name),
  }
end

-- The values of `fields` of a hash as numbers, an absent one 0.
local function numbers(key, fields)
  local values = redis.call("HMGET", key, unpack(fields))
  for place, value in ipairs(values) do
    values[place] = tonumber(value or 0)
  end
  return values
end

local function open_scopes()
  local scopes, names, held, day = {}, {}, {}, {}
  for place = FIRST_SCOPE, #ARGV do
    local scope = read_scope(ARGV[place])
    local name, index = scope.name, #scopes
    scopes[index + 1], names[index + 1] = scope, name
    held[3 * index + 1], held[3 * index + 2] = name .. "|nano", name .. "|tokens"
    held[3 * index + 3] = name .. "|calls"
    day[3 * index + 1], day[3 * index + 2] = name .. "|nano", name .. "|tokens"
    day[3 * index + 3] = name .. "|requests"
  end
  held, day = numbers(HELD, held), numbers(counter_key("day", at.day), day)
  local week, month =
    numbers(counter_key("week", at.week), names), numbers(counter_key("month", at.month), names)
  for index, scope in ipairs(scopes) do
    local place = 3 * index - 2
    scope.held, scope.held_tokens, scope.calls = held[place], held[place + 1], held[place + 2]
    scope.day, scope.day_tokens, scope.day_requests = day[place], day[place + 1], day[place + 2]
    scope.week, scope.month = week[index], month[index]
  end
  return scopes
end

local function ms_until(epoch_second)
  return math.ceil((epoch_second * MICROS - now) / 1000)
end

-- The refusal by one limit, or nil. `ends`: of the limit's period, 0 without one. `wait`: ms, or a
-- function for what takes reading; it is for when more than what running calls hold is in the way.
local function refusal_by(name, index, scope, used, held, need, ends, wait)
  local limit = scope[name]
  if not limit or used + held + need <= limit then
    return nil
  end
  local never, held_only = need > limit, used + need <= limit
  local ms = RESERVED_RETRY_MS
  if never then
    ms = 0
  elseif not held_only then
    ms = wait and wait(limit) or ms_until(ends)
  end
  return {
    name, index - 1, whole(limit), whole(used), whole(held), ms, ends, never and 1 or 0,
    held_only and 1 or 0,
  }
end

local function window_wait(window, letter, used, need)
  return function(limit)
    return wait_ms(window, letter, used, need, limit)
  end
end

local function requests_refusals(index, scope)
  local window = scope.window
  return refusal_by("requests_per_minute", index, scope, window.requests, 0, 1, 0,
    window_wait(window, "r", window.requests, 1)),
    refusal_by("requests_per_day", index, scope, scope.day_requests, 0, 1, at.day_ends)
end

local function tokens_refusals(index, scope)
  local window = scope.window
  return refusal_by("tokens_per_minute", index, scope, window.tokens, 0, tokens, 0,
    window_wait(window, "t", window.tokens, tokens)),
    refusal_by("tokens_per_day", index, scope, scope.day_tokens, scope.held_tokens, tokens,
      at.day_ends)
end

local function calls_refusal(index, scope)
  return refusal_by("max_parallel_requests", index, scope, 0, scope.calls, 1, 0)
end

local function budget_refusals(index, scope)
  local held, need = scope.held, scope.need
  return refusal_by("daily_spend_usd", index, scope, scope.day, held, need, at.day_ends),
    refusal_by("weekly_spend_usd", index, scope, scope.week, held, need, at.week_ends),
    refusal_by("monthly_spend_usd", index, scope, scope.month, held, need, at.month_ends)
end

-- Of two refusals the one to tell: what never fits before all, then the longer wait. When that one
-- lets the request through, so do the others of its kind.
local function worse(one, other)
  if not one or not other then
    return one or other
  end
  local wait = one[8] == 1 and math.huge or one[6]
  local other_wait = other[8] == 1 and math.huge or other[6]
  return other_wait > wait and other or one
end

local function find_refusal(scopes)
  for _, check in ipairs({ requests_refusals, tokens_refusals, calls_refusal, budget_refusals }) do
    local worst
    for index, scope in ipairs(scopes) do
      local first, second_one, third = check(index, scope)
      worst = worse(worse(worse(worst, first), second_one), third)
    end
    if worst then
      return worst
    end
  end
  return nil
end

local function reserve(scopes)
  local names = {}
  for place, scope in ipairs(scopes) do
    local name = scope.name
    count(scope.window)
    count_request(name, at.day, 1)
    add(HELD, name .. "|nano", scope.need)
    add(HELD, name .. "|tokens", tokens)
    add(HELD, name .. "|calls", 1)
    scope.day_requests, scope.held = scope.day_requests + 1, scope.held + scope.need
    scope.held_tokens, scope.calls = scope.held_tokens + tokens, scope.calls + 1
    names[place] = scope.soft and name .. "*" or name
  end
  for name in string.gmatch(ARGV[11], "[^,]+") do
    names[#names + 1] = name .. COUNTED_ONLY
  end
  local hold = {
    stamp, whole(tokens), whole(nano), whole(expected), at.day, at.week, at.month, ARGV[8], request,
    table.concat(names, ","), ARGV[9],
  }
  redis.call("HSET", HOLDS, id, table.concat(hold, "|"))
  redis.call("ZADD", LEASES, whole(now_ms + tonumber(ARGV[7])), id)
  if request ~= "" then
    redis.call("HSET", REQUESTS, request, id)
  end
end

local function reset_ms(window, used)
  return used > 0 and ms_until_gone(window.last) or 0
end

local function states(scopes)
  local flat = {}
  for _, scope in ipairs(scopes) do
    local window = scope.window
    for _, figure in ipairs({
      window.requests, reset_ms(window, window.requests),
      window.tokens, reset_ms(window, window.tokens),
      scope.day_requests, scope.day_tokens, scope.day, scope.week, scope.month,
      scope.held, scope.held_tokens, scope.calls,
    }) do
      flat[#flat + 1] = whole(figure)
    end
  end
  return flat
end

sweep(now, SWEPT_AT_ONCE)
local scopes = open_scopes()
local labels = at.day .. "|" .. at.week .. "|" .. at.month
if redis.call("HEXISTS", HOLDS, id) == 1 then
  return { labels, states(scopes), {}, whole(birth(now_ms)) }
end
local refusal = find_refusal(scopes)
if not refusal then
  reserve(scopes)
end
return { labels, states(scopes), refusal or {}, refusal and "0" or whole(birth(now_ms)) }
