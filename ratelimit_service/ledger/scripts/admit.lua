-- Admits one request at every scope of a slot, or at none.
--
-- KEYS  see prelude.lua
-- ARGV  1 clock: microseconds, or "" for Redis's own
--       2 reservation id   3 tokens   4 nano-dollars   5 lease, ms   6 "charge" | "release"
--       7 months: "label|first epoch second|first epoch second after,…"
--       8.. scopes: "scope|requests per minute|tokens per minute|nano-dollars per month", with
--           nothing where there is no limit
-- Returns { month, states, refusal }
--   states   six per scope: requests in use, ms until they are 0, tokens in use, ms until they
--            are 0, nano-dollars settled, nano-dollars held; after the admission or refusal
--   refusal  {} if admitted, else { kind, index of the scope from 0, limit, used, held,
--            retry after ms, end of the month (epoch seconds) or 0, 1 if it can never fit }
-- Error CLOCK if none of the months holds the time.
--
-- An id that is held already is not counted again, so that a client library which repeats a
-- command after a lost connection does no harm.

local SWEPT_AT_ONCE = 16 -- what is lost is ended by those who come after, a little at a time
local RESERVED_RETRY_MS = 1000 -- when others will settle is not known
local FIRST_SCOPE = 8

local now = clock(ARGV[1])
local second = math.floor(now / MICROS)
local stamp = whole(second)
local requests_field, tokens_field = "r:" .. stamp, "t:" .. stamp
local id, tokens, nano = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local month, month_ends = month_at(second, ARGV[7])
if not month then
  return redis.error_reply("CLOCK the time is in none of the months given")
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

-- Takes the buckets of seconds head..newest out of the sums and out of the store. At most 60 of
-- them: a window whose every bucket is that old is forgotten whole.
local function drop(window, newest)
  local fields = {}
  for at = window.head, newest do
    fields[#fields + 1] = "r:" .. whole(at)
    fields[#fields + 1] = "t:" .. whole(at)
  end
  local values = redis.call("HMGET", window.key, unpack(fields))
  for at = 1, #values, 2 do
    window.requests = window.requests - (tonumber(values[at] or 0))
    window.tokens = window.tokens - (tonumber(values[at + 1] or 0))
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
  for at = window.head, window.last do
    fields[#fields + 1] = letter .. ":" .. whole(at)
  end
  local excess = used + need - limit
  for at, value in ipairs(redis.call("HMGET", window.key, unpack(fields))) do
    excess = excess - tonumber(value or 0)
    if excess <= 0 then
      return ms_until_gone(window.head + at - 1)
    end
  end
  return ms_until_gone(window.last)
end

local function open_scopes()
  local scopes, fields = {}, {}
  for at = FIRST_SCOPE, #ARGV do
    local name, requests_limit, tokens_limit, budget =
      string.match(ARGV[at], "^([^|]*)|(%d*)|(%d*)|(%d*)$")
    scopes[#scopes + 1] = {
      name = name,
      window = open_window(name),
      requests_limit = tonumber(requests_limit),
      tokens_limit = tonumber(tokens_limit),
      budget = tonumber(budget),
    }
    fields[#fields + 1] = spend_field(name, month, "settled")
    fields[#fields + 1] = spend_field(name, month, "held")
  end
  local values = redis.call("HMGET", SPEND, unpack(fields))
  for at, scope in ipairs(scopes) do
    scope.settled = tonumber(values[2 * at - 1] or 0)
    scope.held = tonumber(values[2 * at] or 0)
  end
  return scopes
end

local function window_refusal(kind, letter, index, window, used, need, limit)
  if not limit or used + need <= limit then
    return nil
  end
  local never = need > limit
  local wait = never and 0 or wait_ms(window, letter, used, need, limit)
  return { kind, index - 1, limit, used, 0, wait, 0, never and 1 or 0 }
end

local function requests_refusal(index, scope)
  local window = scope.window
  return window_refusal("rate_limit_requests", "r", index, window, window.requests, 1,
    scope.requests_limit)
end

local function tokens_refusal(index, scope)
  local window = scope.window
  return window_refusal("rate_limit_tokens", "t", index, window, window.tokens, tokens,
    scope.tokens_limit)
end

local function budget_refusal(index, scope)
  local budget, settled, held = scope.budget, scope.settled, scope.held
  if not budget or settled + held + nano <= budget then
    return nil
  end
  local kind, wait = "budget_reserved", RESERVED_RETRY_MS
  local never = nano > budget
  if settled + nano > budget then
    kind = "budget_exceeded"
    wait = never and 0 or math.ceil((month_ends * MICROS - now) / 1000)
  end
  return { kind, index - 1, whole(budget), whole(settled), whole(held), wait, month_ends,
    never and 1 or 0 }
end

-- Of the first kind that refuses, the scope with the longest wait, and one that never fits before
-- all: when that one lets the request through, so do the others of its kind.
local function find_refusal(scopes)
  for _, check in ipairs({ requests_refusal, tokens_refusal, budget_refusal }) do
    local worst, longest = nil, -1
    for index, scope in ipairs(scopes) do
      local refusal = check(index, scope)
      local wait = refusal and (refusal[8] == 1 and math.huge or refusal[6])
      if refusal and wait > longest then
        worst, longest = refusal, wait
      end
    end
    if worst then
      return worst
    end
  end
  return nil
end

local function reserve(scopes)
  local names = {}
  for at, scope in ipairs(scopes) do
    count(scope.window)
    add_spend(scope.name, month, "held", nano)
    scope.held = scope.held + nano
    names[at] = scope.name
  end
  local hold = { stamp, whole(tokens), whole(nano), month, ARGV[6] }
  redis.call("HSET", HOLDS, id, table.concat(hold, "|") .. "|" .. table.concat(names, ","))
  redis.call("ZADD", LEASES, whole(math.floor(now / 1000) + tonumber(ARGV[5])), id)
end

local function reset_ms(window, used)
  return used > 0 and ms_until_gone(window.last) or 0
end

local function states(scopes)
  local flat = {}
  for index, scope in ipairs(scopes) do
    local window, at = scope.window, 6 * index - 5
    flat[at], flat[at + 1] = window.requests, reset_ms(window, window.requests)
    flat[at + 2], flat[at + 3] = window.tokens, reset_ms(window, window.tokens)
    flat[at + 4], flat[at + 5] = whole(scope.settled), whole(scope.held)
  end
  return flat
end

sweep(now, SWEPT_AT_ONCE)
local scopes = open_scopes()
if redis.call("HEXISTS", HOLDS, id) == 1 then
  return { month, states(scopes), {} }
end
local refusal = find_refusal(scopes)
if not refusal then
  reserve(scopes)
end
return { month, states(scopes), refusal or {} }
