-- Reservations, how they end, and what is charged when they do.

local COUNTED_ONLY = "~"

-- Adds to what is settled. `at`: the hashes of a day, a week and a month.
local function charge(at, scope, tokens, nano)
  add(at.day, scope .. "|tokens", tokens)
  add(at.day, scope .. "|nano", nano)
  add(at.week, scope, nano)
  add(at.month, scope, nano)
end

local function periods(slot, day, week, month)
  return {
    day = counters(slot, "day", day),
    week = counters(slot, "week", week),
    month = counters(slot, "month", month),
  }
end

local function count_request(at, scope, amount)
  add(at.day, scope .. "|requests", amount)
end

-- Says that tokens of a bucket are going to be corrected.
local function want_tokens(found, bucket)
  local wanted = found.wanted
  if wanted then
    want(found, "r:" .. bucket)
    want(found, "t:" .. bucket)
  else
    found.wanted = { "ts", "r:" .. bucket, "t:" .. bucket }
  end
end

-- Changes the tokens of a bucket that is still kept; one that has left the window stays gone.
local function correct_tokens(found, bucket, amount)
  if amount ~= 0 and text(found, "r:" .. bucket) then
    add(found, "t:" .. bucket, amount)
    add(found, "ts", amount)
  end
end

local notes, notes_in_order = {}, {}

-- Adds to the history. `row`: "days kept|project|key|alias", "" in a slot that keeps none.
-- `amounts`: requests, input, output and cached tokens, nano-dollars, errors.
local function note_usage(slot, row, day, amounts)
  if row == "" then
    return
  end
  local name = slot.stem .. day .. row
  local note = notes[name]
  if note then
    for place, amount in ipairs(amounts) do
      note.amounts[place] = note.amounts[place] + amount
    end
    return
  end
  local kept, field = string.match(row, "^(%d+)|(.+)$")
  local usage = hash(slot.stem .. "usage:" .. day, tonumber(kept) * DAY_SECONDS)
  note = { usage = usage, field = field, amounts = amounts }
  notes[name] = note
  notes_in_order[#notes_in_order + 1] = note
  want(usage, field)
end

local function write_notes()
  for _, note in ipairs(notes_in_order) do
    local at, amounts = 0, note.amounts
    for sum in string.gmatch(text(note.usage, note.field) or "", "[^|]+") do
      at = at + 1
      amounts[at] = amounts[at] + tonumber(sum)
    end
    for place, amount in ipairs(amounts) do
      amounts[place] = whole(amount)
    end
    put(note.usage, note.field, table.concat(amounts, "|"))
  end
end

local CLAIMED = "^(%d+)|(%d+)|(%d+)|(%d+)|([^|]*)|([^|]*)|([^|]*)|([^|]*)|(.*)$"

local claimed = {}

-- What was claimed, which is the same in each of its slots.
local function read_claimed(packed)
  local found = claimed[packed]
  if not found then
    local bucket, tokens, nano, expected, day, week, month, on_lost, request =
      string.match(packed, CLAIMED)
    found = {
      bucket = bucket, tokens = tonumber(tokens), nano = tonumber(nano),
      expected = tonumber(expected), day = day, week = week, month = month, on_lost = on_lost,
      request = request,
    }
    claimed[packed] = found
  end
  return found
end

-- A hold: what was claimed, and in this slot its scopes and its row; or nil.
local function read_hold(slot, id)
  local packed = text(slot.holds, id)
  if not packed then
    return nil
  end
  local first = string.find(packed, " ", 1, true)
  local second = string.find(packed, " ", first + 1, true)
  return read_claimed(string.sub(packed, second + 1)), string.sub(packed, 1, first - 1),
    string.sub(packed, first + 1, second - 1)
end

-- Each scope of a hold, and its mark: see the stored forms.
local function each_scope(scopes)
  return string.gmatch(scopes, "([^,*~]+)([*~]?)")
end

-- What ends in this run, summed up for holds of the same scopes and the same second.
local ends, ends_in_order = {}, {}

local function sum_of(slot, hold, scopes)
  local name = slot.stem .. hold.bucket .. hold.day .. scopes
  local sum = ends[name]
  if not sum then
    sum = {
      slot = slot, bucket = hold.bucket, scopes = scopes,
      at = periods(slot, hold.day, hold.week, hold.month),
      calls = 0, tokens = 0, nano = 0, held_tokens = 0, held_nano = 0, held_expected = 0,
    }
    ends[name] = sum
    ends_in_order[#ends_in_order + 1] = sum
  end
  return sum
end

-- Ends a hold: its reservation is replaced, in every scope, by `tokens` and `nano`. They go to the
-- day, week and month of the admission, whose budgets had room for them.
local function end_hold(slot, id, hold, scopes, tokens, nano)
  local sum = sum_of(slot, hold, scopes)
  sum.calls, sum.tokens, sum.nano = sum.calls + 1, sum.tokens + tokens, sum.nano + nano
  sum.held_tokens, sum.held_nano = sum.held_tokens + hold.tokens, sum.held_nano + hold.nano
  sum.held_expected = sum.held_expected + hold.expected
  put(slot.holds, id, false)
  slot.ended[#slot.ended + 1] = id
  if hold.request ~= "" then
    put(slot.requests, hold.request, false)
  end
end

local function end_in_scope(sum, scope, mark)
  charge(sum.at, scope, sum.tokens, sum.nano)
  if mark == COUNTED_ONLY then
    count_request(sum.at, scope, sum.calls)
    return
  end
  local held = sum.slot.held
  add(held, scope .. "|nano", -(mark == "*" and sum.held_expected or sum.held_nano))
  add(held, scope .. "|tokens", -sum.held_tokens)
  add(held, scope .. "|calls", -sum.calls)
  correct_tokens(window(sum.slot, scope), sum.bucket, sum.tokens - sum.held_tokens)
end

-- Counts all that was ended and noted. It is called once.
local function sum_up()
  for _, sum in ipairs(ends_in_order) do
    if sum.tokens ~= sum.held_tokens then
      for scope, mark in each_scope(sum.scopes) do
        if mark ~= COUNTED_ONLY then
          want_tokens(window(sum.slot, scope), sum.bucket)
        end
      end
    end
  end
  read_wanted()
  for _, sum in ipairs(ends_in_order) do
    for scope, mark in each_scope(sum.scopes) do
      end_in_scope(sum, scope, mark)
    end
  end
  write_notes()
end

-- `lost`: its id, and where its end is remembered.
local function expire_hold(slot, lost)
  local id = lost.id
  local hold, scopes, row = read_hold(slot, id)
  if not hold then
    slot.ended[#slot.ended + 1] = id
    return
  end
  local charged = hold.on_lost == "charge"
  local tokens, nano = charged and hold.tokens or 0, charged and hold.nano or 0
  end_hold(slot, id, hold, scopes, tokens, nano)
  note_usage(slot, row, hold.day, { 1, 0, 0, 0, nano, 0 })
  local record = { whole(tokens), whole(nano), hold.day, hold.week, hold.month, hold.bucket }
  put(done(slot, lost), id, table.concat(record, "|"))
  note_ending(slot, lost, EXPIRED)
end

-- Ends at most `most` reservations whose lease is over. Returns how many it ended.
local function sweep(slot, now, most)
  local now_ms = whole(math.floor(now / 1000))
  local ids = redis.call("ZRANGEBYSCORE", slot.leases, "-inf", now_ms, "LIMIT", 0, most)
  if #ids == 0 then
    return 0
  end
  local lost = {}
  for place, id in ipairs(ids) do
    lost[place] = located({ id = id })
    want(slot.holds, id)
    want_ending(slot, lost[place])
  end
  read_wanted()
  for _, each in ipairs(lost) do
    expire_hold(slot, each)
  end
  return #ids
end
