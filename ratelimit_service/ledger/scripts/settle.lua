-- Replaces reservations by what their requests really took, each once, however often it is asked to.
--
-- KEYS  see prelude.lua
-- ARGV  1 clock: microseconds, or "" for Redis's own
--       2.. settlements, each several lines:
--           "id|tokens|nano-dollars|input|output|cached tokens|errors|day|week|month", with the day,
--           week and month that the id was made in; and for each slot
--           "key row scopes": the slot's key in KEYS; the row of the history or "-", see holds.lua;
--           the scopes it was admitted in, with commas between, "~" after those that nothing was
--           reserved in
-- Returns for each settlement what it did in each of its slots:
--   "settled"    the reservation was held
--   "corrected"  its lease had ended; what that charged was changed into what it really took
--   "unknown"    nothing is known of it: counted and charged now, as of when its id was made
--   "counted"    so it was, and nothing had been reserved here
--   "duplicate"  it was settled before; nothing changed
--   "too_old"    nothing is known of it, and a settlement of that day may have been forgotten

local UNKNOWN_CHARGED_MS = 3 * 86400000 -- a day less than "done" is kept, for clocks that differ
local LATE_MS = 3600000 -- what is settled so late begins its four days anew: its half minute is old
local FIRST_SETTLEMENT = 2

local TOOK =
  "^(%x+)|(%d+)|(%d+)|(%d+)|(%d+)|(%d+)|(%d+)|([^|]+)|([^|]+)|([^|\n]+)\n(.*)$"

local parsed = {}

-- The parts of a settlement in its slots; many settlements have the same.
local function parts_of(lines)
  local parts = parsed[lines]
  if not parts then
    parts = {}
    for key, row, scopes in string.gmatch(lines, "(%S+) (%S+) (%S*)") do
      parts[#parts + 1] = { slot = open_slot(key), row = row == "-" and "" or row, scopes = scopes }
    end
    parsed[lines] = parts
  end
  return parts
end

local function read_settlements()
  local settlements = {}
  for place = FIRST_SETTLEMENT, #ARGV do
    local id, tokens, nano, input, output, cached, errors, day, week, month, lines =
      string.match(ARGV[place], TOOK)
    settlements[#settlements + 1] = {
      id = id, tokens = tonumber(tokens), nano = tonumber(nano), input = tonumber(input),
      output = tonumber(output), cached = tonumber(cached), errors = tonumber(errors),
      day = day, week = week, month = month, parts = parts_of(lines),
      done = false, group = false, place = false, -- room for `located`
    }
  end
  return settlements
end

local function remember(took, part, day, requests, cost)
  note_usage(part.slot, part.row, day, {
    requests, took.input, took.output, took.cached, cost, took.errors,
  })
  note_ending(part.slot, took, SETTLED)
end

local function settle_held(took, part, hold, scopes)
  end_hold(part.slot, took.id, hold, scopes, took.tokens, took.nano)
  remember(took, part, hold.day, 1, took.nano)
  return "settled"
end

local late = {} -- what is counted when all holds have ended

local function correct(took, part)
  local remembered = done(part.slot, took)
  local charged_tokens, charged_nano, day, week, month, bucket =
    string.match(text(remembered, took.id), "^(%d+)|(%d+)|([^|]*)|([^|]*)|([^|]*)|(%d+)$")
  put(remembered, took.id, false)
  local tokens, nano = took.tokens - tonumber(charged_tokens), took.nano - tonumber(charged_nano)
  for scope in each_scope(part.scopes) do
    want_tokens(window(part.slot, scope), bucket)
  end
  late[#late + 1] = function()
    for scope in each_scope(part.scopes) do
      charge(periods(part.slot, day, week, month), scope, tokens, nano)
      correct_tokens(window(part.slot, scope), bucket, tokens)
    end
  end
  remember(took, part, day, 0, nano)
  return "corrected"
end

local function charge_unknown(took, part)
  local now_ms = math.floor(clock(ARGV[1]) / 1000)
  local age = now_ms - id_millis(took.id)
  if age > UNKNOWN_CHARGED_MS then
    return "too_old"
  end
  done(part.slot, took).anew = age > LATE_MS
  birth(part.slot, now_ms)
  local at, outcome = periods(part.slot, took.day, took.week, took.month), "counted"
  for scope, mark in each_scope(part.scopes) do
    charge(at, scope, took.tokens, took.nano)
    count_request(at, scope, 1)
    outcome = mark == COUNTED_ONLY and outcome or "unknown"
  end
  remember(took, part, took.day, 1, took.nano)
  return outcome
end

local function settle(took, part)
  local hold, scopes = read_hold(part.slot, took.id)
  if hold then
    return settle_held(took, part, hold, scopes)
  end
  local before = ending(part.slot, took)
  if before == SETTLED then
    return "duplicate"
  end
  return before == EXPIRED and correct(took, part) or charge_unknown(took, part)
end

local settlements = read_settlements()
for _, took in ipairs(settlements) do
  located(took)
  for _, part in ipairs(took.parts) do
    want(part.slot.holds, took.id)
    want_ending(part.slot, took)
  end
end
read_wanted()

local replies = {}
for place, took in ipairs(settlements) do
  local outcomes = {}
  for at, part in ipairs(took.parts) do
    outcomes[at] = settle(took, part)
  end
  replies[place] = outcomes
end
sum_up()
for _, count in ipairs(late) do
  count()
end
write()
return replies
