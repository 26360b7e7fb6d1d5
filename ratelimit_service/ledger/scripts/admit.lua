-- Admits requests, each at every scope of its slots or at none, in the order in which they came.
--
-- KEYS  see prelude.lua
-- ARGV  1 clock: microseconds, or "" for Redis's own
--       2 days: "day|first epoch second|first epoch second after|week|its end|month|its end,…"
--       3.. claims, each several lines:
--           "id|Envoy's request id or nothing|tokens|nano-dollars, the worst case|nano-dollars
--           expected, for soft budgets|lease, ms|charge or release"; and for each slot
--           "key row names scope scope…": the slot's key in KEYS; the row of the history or "-", see
--           holds.lua; the scopes as a hold names them, see prelude.lua; and of each in which
--           something is reserved "scope|NO=limit|NO=limit…", with "*" after the scope if its budget
--           is soft; NO: see LIMITS; budgets in nano-dollars
-- Returns for each claim { "day|week|month", answer of each slot… }. An answer is
--   { when the slot was first used (epoch ms), figures }   the claim is held there
--   { 0, figures, refusal }   a limit of this slot stands in the way
--   { 0, figures }            another slot stands in the way
--   { -1 }                    the id has ended here, or was given back before it came
--   figures  twelve per scope, after the admission or refusal:
--            requests in the window, ms until they are 0, tokens in it, ms until they are 0,
--            requests and settled tokens of the day, nano-dollars settled in day, week, month,
--            nano-dollars held, tokens held, calls running
--   refusal  { name of the limit, index of the scope from 0, limit, used, held, retry after ms,
--            end of the day, week or month (epoch seconds) or 0, 1 if it can never fit, 1 if only
--            what running calls hold stands in the way }
-- Error CLOCK if none of the days holds the time.
--
-- An id that is held already is not counted again, so that a client library which repeats a
-- command after a lost connection does no harm.

local SWEPT_AT_ONCE = 16 -- what is lost is ended by those who come after, a little at a time
local RESERVED_RETRY_MS = 1000 -- when others will end is not known
local FIRST_CLAIM = 3

-- By the number that a claim gives them. `kind`: the kinds are told in this order. `used`, `held`:
-- fields of a scope; `need`: a field of a claim, without it the amount that the scope reserves;
-- `bucket`, `now`: for limits of the minute, what its buckets begin with, and what is in that of this
-- second.
local LIMITS = {
  ["1"] = { name = "requests_per_minute", kind = 1, used = "requests", need = "one", bucket = "r:",
    now = "requests_now" },
  ["2"] = { name = "tokens_per_minute", kind = 2, used = "tokens", need = "tokens", bucket = "t:",
    now = "tokens_now" },
  ["3"] = { name = "requests_per_day", kind = 1, used = "day_requests", need = "one", ends = "day_ends" },
  ["4"] = { name = "tokens_per_day", kind = 2, used = "day_tokens", held = "held_tokens",
    need = "tokens", ends = "day_ends" },
  ["5"] = { name = "max_parallel_requests", kind = 3, held = "calls", need = "one" },
  ["6"] = { name = "daily_spend_usd", kind = 4, used = "day", held = "held", ends = "day_ends" },
  ["7"] = { name = "weekly_spend_usd", kind = 4, used = "week", held = "held", ends = "week_ends" },
  ["8"] = { name = "monthly_spend_usd", kind = 4, used = "month", held = "held", ends = "month_ends" },
}

local now = clock(ARGV[1])
local now_ms = math.floor(now / 1000)
local second = math.floor(now / MICROS)
local stamp = whole(second)
local at = day_at(second, ARGV[2])
if not at then
  return redis.error_reply("CLOCK the time is in none of the days given")
end
local requests_field, tokens_field = "r:" .. stamp, "t:" .. stamp
local labels = at.day .. "|" .. at.week .. "|" .. at.month

-- The counters of a scope in this run. What is admitted is counted here, and stored at the end.
local function open_scope(slot, name)
  local scopes = slot.scopes
  if not scopes then
    scopes = {}
    slot.scopes = scopes
  end
  local scope = scopes[name]
  if not scope then
    -- All that it will have, though most is read later: a table that grows is made anew.
    scope = {
      name = name, window = slot.stem .. "win:" .. name, nano_field = name .. "|nano",
      tokens_field = name .. "|tokens", calls_field = name .. "|calls",
      day_field = name .. "|requests",
      admitted = 0, admitted_tokens = 0, reserved = 0,
      held = 0, held_tokens = 0, calls = 0,
      day = 0, day_tokens = 0, day_requests = 0, week = 0, month = 0,
      head = 0, last = 0, requests = 0, tokens = 0, requests_now = 0, tokens_now = 0, fresh = false,
    }
    scopes[name] = scope
    scopes[#scopes + 1] = scope
  end
  return scope
end

-- A scope of a claim. `limits`: each, and after it what it allows. `nano`: which of the amounts is
-- reserved in it.
local function read_scope(slot, packed)
  local name, soft, packed_limits = string.match(packed, "^([^|*]+)(%*?)(.*)$")
  local limits, count = {}, 0
  for number, most in string.gmatch(packed_limits, "(%d)=(%d+)") do
    limits[count + 1], limits[count + 2] = LIMITS[number], tonumber(most)
    count = count + 2
  end
  return {
    scope = open_scope(slot, name), limits = limits, nano = soft == "*" and "expected" or "nano",
  }
end

local parsed = {}

-- The parts of a claim in its slots; many claims have the same.
local function parts_of(lines)
  local parts = parsed[lines]
  if parts then
    return parts
  end
  parts = {}
  for key, row, names, packed in string.gmatch(lines, "(%S+) (%S+) (%S+) ([^\n]+)") do
    local slot = open_slot(key)
    local part = { slot = slot, row = row == "-" and "" or row, names = names, scopes = {} }
    for scope in string.gmatch(packed, "%S+") do
      part.scopes[#part.scopes + 1] = read_scope(slot, scope)
    end
    parts[#parts + 1] = part
  end
  parsed[lines] = parts
  return parts
end

local CLAIM = "^(%x+)|([^|]*)|(%d+)|(%d+)|(%d+)|(%d+)|(%a+)\n(.*)$"

local function read_claim(packed)
  local id, request, tokens, nano, expected, lease_ms, on_lost, lines = string.match(packed, CLAIM)
  local claim = {
    id = id, request = request, one = 1, tokens = tonumber(tokens), nano = tonumber(nano),
    expected = tonumber(expected), lease_ends = whole(now_ms + tonumber(lease_ms)),
    hold = table.concat({ stamp, tokens, nano, expected, labels, on_lost, request }, "|"),
    parts = parts_of(lines),
  }
  return claim
end

local function want_claims(claims)
  for _, claim in ipairs(claims) do
    located(claim)
    for _, part in ipairs(claim.parts) do
      want(part.slot.holds, claim.id)
      want_ending(part.slot, claim)
    end
  end
  read_wanted()
end

-- The milliseconds until the bucket of second `bucket` has left the window.
local function ms_until_gone(bucket)
  return math.ceil(((bucket + WINDOW_SECONDS) * MICROS - now) / 1000)
end

local function forget(scope)
  redis.call("DEL", scope.window)
  scope.fresh, scope.head, scope.last, scope.requests, scope.tokens = false, second, second, 0, 0
  scope.requests_now, scope.tokens_now = 0, 0
end

local function write_window(scope)
  local fields = {
    "rs", whole(scope.requests), "ts", whole(scope.tokens),
    requests_field, whole(scope.requests_now), tokens_field, whole(scope.tokens_now),
  }
  if not scope.fresh then
    fields[9], fields[10], fields[11], fields[12] = "head", whole(scope.head), "last", whole(scope.last)
  end
  set(scope.window, fields, WINDOW_KEPT_SECONDS)
end

-- The clock was set back, beyond all that is kept. Counted at its old time it would stay for as
-- long as the jump; forgotten it would let too many pass. So it counts as of now.
local function restamp(scope)
  local requests, tokens = scope.requests, scope.tokens
  forget(scope)
  scope.requests, scope.requests_now = requests, requests
  scope.tokens, scope.tokens_now = tokens, tokens
  write_window(scope)
end

-- Takes the buckets of seconds head..newest out of the sums and out of the store. At most 61 of
-- them: a window whose every bucket is that old is forgotten whole.
local function drop(scope, newest)
  local fields = {}
  for bucket = scope.head, newest do
    fields[#fields + 1] = "r:" .. whole(bucket)
    fields[#fields + 1] = "t:" .. whole(bucket)
  end
  local values = redis.call("HMGET", scope.window, unpack(fields))
  for place = 1, #values, 2 do
    scope.requests = scope.requests - tonumber(values[place] or 0)
    scope.tokens = scope.tokens - tonumber(values[place + 1] or 0)
  end
  scope.head = newest + 1
  redis.call("HDEL", scope.window, unpack(fields))
  redis.call("HSET", scope.window, "head", whole(scope.head), "rs", whole(scope.requests), "ts",
    whole(scope.tokens))
end

local function read_window(scope)
  local values =
    redis.call("HMGET", scope.window, "head", "last", "rs", "ts", requests_field, tokens_field)
  scope.head, scope.last = (values[1] or second) + 0, (values[2] or second) + 0
  scope.requests, scope.tokens = (values[3] or 0) + 0, (values[4] or 0) + 0
  scope.requests_now, scope.tokens_now = (values[5] or 0) + 0, (values[6] or 0) + 0
  scope.fresh = values[2] == stamp -- its times and its expiry were set in this second
  local newest_gone = second - WINDOW_SECONDS
  if scope.last <= newest_gone then
    forget(scope)
  elseif scope.head > second then
    restamp(scope)
  elseif scope.head <= newest_gone then
    drop(scope, newest_gone)
  end
end

-- Reads the counters of all scopes of a slot, three of each from `held` and the day. What is added
-- to is a number: tonumber() is a call more.
local function read_counters(slot)
  local held, day, names = {}, {}, {}
  for place, scope in ipairs(slot.scopes) do
    local at_held = 3 * place - 2
    held[at_held], held[at_held + 1], held[at_held + 2] =
      scope.nano_field, scope.tokens_field, scope.calls_field
    day[at_held], day[at_held + 1], day[at_held + 2] =
      scope.nano_field, scope.tokens_field, scope.day_field
    names[place] = scope.name
  end
  slot.day = slot.stem .. "day:" .. at.day
  held, day = read(slot.held.key, held), read(slot.day, day)
  local week = read(slot.stem .. "week:" .. at.week, names)
  local month = read(slot.stem .. "month:" .. at.month, names)
  for place, scope in ipairs(slot.scopes) do
    local first = 3 * place - 2
    scope.held, scope.held_tokens = (held[first] or 0) + 0, (held[first + 1] or 0) + 0
    scope.calls, scope.day = (held[first + 2] or 0) + 0, (day[first] or 0) + 0
    scope.day_tokens, scope.day_requests = (day[first + 1] or 0) + 0, (day[first + 2] or 0) + 0
    scope.week, scope.month = (week[place] or 0) + 0, (month[place] or 0) + 0
    read_window(scope)
  end
end

-- When so much more than fits has left: the oldest buckets leave first.
local function wait_ms(scope, limit, excess)
  local prefix = limit.bucket
  for bucket = scope.head, scope.last do
    local here = bucket == second and scope[limit.now]
    excess = excess - (here or tonumber(redis.call("HGET", scope.window, prefix .. whole(bucket)) or 0))
    if excess <= 0 then
      return ms_until_gone(bucket)
    end
  end
  return ms_until_gone(scope.last)
end

-- A limit that stands in the way. A wait is for when more than what running calls hold does.
local function refusal_by(scope, index, limit, most, used, held, need)
  local ends = at[limit.ends] or 0
  local never, held_only = need > most, used + need <= most
  local ms = RESERVED_RETRY_MS
  if never then
    ms = 0
  elseif not held_only then
    ms = limit.bucket and wait_ms(scope, limit, used + need - most)
      or math.ceil((ends * MICROS - now) / 1000)
  end
  return {
    kind = limit.kind, never = never, ms = ms,
    told = {
      limit.name, index - 1, most, used, held, ms, ends, never and 1 or 0,
      held_only and 1 or 0,
    },
  }
end

-- Of two refusals the one to tell: requests before tokens, these before calls, these before money;
-- what never fits before all of its kind, then the longer wait. When that one lets the request
-- through, so do the others of its kind.
local function worse(one, other)
  if not one or one.kind ~= other.kind then
    return one and one.kind < other.kind and one or other
  end
  local wait, other_wait = one.never and math.huge or one.ms, other.never and math.huge or other.ms
  return other_wait > wait and other or one
end

local function find_refusal(claim, part)
  local worst
  for index, limited in ipairs(part.scopes) do
    local scope, limits = limited.scope, limited.limits
    for place = 1, #limits, 2 do
      local limit, most = limits[place], limits[place + 1]
      local used, held = scope[limit.used] or 0, scope[limit.held] or 0
      local need = claim[limit.need or limited.nano]
      if used + held + need > most then
        worst = worse(worst, refusal_by(scope, index, limit, most, used, held, need))
      end
    end
  end
  return worst and worst.told
end

local function reserve_in(limited, claim)
  local scope, tokens, nano = limited.scope, claim.tokens, claim[limited.nano]
  scope.requests, scope.tokens = scope.requests + 1, scope.tokens + tokens
  scope.requests_now, scope.tokens_now = scope.requests_now + 1, scope.tokens_now + tokens
  scope.day_requests, scope.held = scope.day_requests + 1, scope.held + nano
  scope.held_tokens, scope.calls = scope.held_tokens + tokens, scope.calls + 1
  scope.admitted, scope.admitted_tokens = scope.admitted + 1, scope.admitted_tokens + tokens
  scope.reserved, scope.last = scope.reserved + nano, math.max(scope.last, second)
end

local function reserve(claim, part)
  local slot, id, leased = part.slot, claim.id, part.slot.leased
  for _, limited in ipairs(part.scopes) do
    reserve_in(limited, claim)
  end
  put(slot.holds, id, part.names .. " " .. part.row .. " " .. claim.hold)
  leased[#leased + 1] = claim.lease_ends
  leased[#leased + 1] = id
  if claim.request ~= "" then
    put(slot.requests, claim.request, id)
  end
end

local function reset_ms(scope, used)
  return used > 0 and ms_until_gone(scope.last) or 0
end

local function figures(part)
  local flat, place = {}, 0
  for _, limited in ipairs(part.scopes) do
    local scope = limited.scope
    flat[place + 1], flat[place + 2] = scope.requests, reset_ms(scope, scope.requests)
    flat[place + 3], flat[place + 4] = scope.tokens, reset_ms(scope, scope.tokens)
    flat[place + 5], flat[place + 6] = scope.day_requests, scope.day_tokens
    flat[place + 7], flat[place + 8], flat[place + 9] = scope.day, scope.week, scope.month
    flat[place + 10], flat[place + 11], flat[place + 12] = scope.held, scope.held_tokens, scope.calls
    place = place + 12
  end
  return flat
end

-- What stands in the way of a claim in a slot: { -1 }, or a refusal, or nil; and if it is held there.
local function look(claim, part)
  if text(part.slot.holds, claim.id) then
    return nil, true
  elseif ending(part.slot, claim) then
    return { -1 }, false
  end
  return find_refusal(claim, part), false
end

local function decide(claim)
  local obstacles, held, refused = {}, {}, false
  for place, part in ipairs(claim.parts) do
    obstacles[place], held[place] = look(claim, part)
    refused = refused or obstacles[place] ~= nil
  end
  local answers = { labels }
  for place, part in ipairs(claim.parts) do
    local obstacle, slot = obstacles[place], part.slot
    if not refused and not held[place] then
      reserve(claim, part)
      held[place] = true
    end
    if obstacle and obstacle[1] == -1 then
      answers[place + 1] = obstacle
    else
      answers[place + 1] = { held[place] and birth(slot, now_ms) or 0, figures(part), obstacle }
    end
  end
  return answers
end

local function keep(fields, key, field, sum, amount)
  if sum >= EXACT then
    redis.call("HINCRBY", key, field, whole(amount))
  elseif amount > 0 then
    fields[#fields + 1] = field
    fields[#fields + 1] = whole(sum)
  end
end

local function store(slot)
  local held, day, key = {}, {}, slot.held.key
  for _, scope in ipairs(slot.scopes) do
    local calls = scope.admitted
    if calls > 0 then
      write_window(scope)
      keep(held, key, scope.nano_field, scope.held, scope.reserved)
      keep(held, key, scope.tokens_field, scope.held_tokens, scope.admitted_tokens)
      keep(held, key, scope.calls_field, scope.calls, calls)
      keep(day, slot.day, scope.day_field, scope.day_requests, calls)
    end
  end
  set(key, held)
  set(slot.day, day, COUNTERS_KEPT.day)
end

-- Those that are lost have ended before anything is counted.
local function sweep_slots()
  local swept = 0
  for _, slot in ipairs(slots_in_order) do
    swept = swept + sweep(slot, now, SWEPT_AT_ONCE)
  end
  if swept > 0 then
    sum_up()
    write()
    start_anew()
  end
end

local claims = {}
for place = FIRST_CLAIM, #ARGV do
  claims[#claims + 1] = read_claim(ARGV[place])
end
sweep_slots()
want_claims(claims)
for _, slot in ipairs(slots_in_order) do
  read_counters(slot)
end
local replies = {}
for place, claim in ipairs(claims) do
  replies[place] = decide(claim)
end
for _, slot in ipairs(slots_in_order) do
  store(slot)
end
write()
return replies
