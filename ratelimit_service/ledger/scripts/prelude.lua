-- What the ledger's scripts share. It is put in front of each of them when they are loaded, so
-- that each stays one EVAL: Redis scripts cannot call one another. What only some of them use is
-- in files of their own. A run costs Redis for its commands and for each closure that is made before the
-- first of them: so a run reads each hash once and writes it once, whatever it does in between.
--
-- KEYS, of every script: "held" of each slot that it touches, on a cluster one. The other keys of a
-- slot are derived from it; they carry its hash tag, so a cluster has them in the same place.
--
-- Stored forms:
--   held      <scope>|nano, <scope>|tokens, <scope>|calls   what running calls hold, summed
--   holds     id → "scopes row bucket|tokens|nano|expected|day|week|month|on_lost|request"
--             scopes: comma between, "*" after one that holds `expected` instead of `nano`, "~"
--             after one that holds nothing and counts when the call ends; row: see note_usage;
--             from the bucket on the same in every slot: epoch second; request: Envoy's request id
--   requests  Envoy's request id → id, while it is held
--   done      group of 64 ids → a letter each, see endings.lua
--             id of one whose lease ended → "tokens|nano|day|week|month|bucket": what was charged,
--             for a correction
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
-- Numbers are doubles here: whole up to 2^53. They are written with "%d", as tostring() would write
-- 1e+15, and "%.0f" costs five times as much. A sum that is or becomes larger is left to HINCRBY, which is 64 bits wide. A sum of
-- 0 is not stored.

local MICROS = 1000000
local WINDOW_SECONDS = 62
local WINDOW_KEPT_SECONDS = 120 -- an idle window is forgotten; anything above 62 will do
local DAY_SECONDS = 86400
local EXACT = 2 ^ 53

local format = string.format

local function whole(number)
  return format("%d", number)
end

local MOST_ARGUMENTS = 4000 -- of one command: the stack of Lua has room for 8000

local function send(command, key, list)
  if #list <= MOST_ARGUMENTS then
    return redis.call(command, key, unpack(list))
  end
  local sum = 0
  for first = 1, #list, MOST_ARGUMENTS do
    local last = math.min(first + MOST_ARGUMENTS - 1, #list)
    sum = sum + redis.call(command, key, unpack(list, first, last))
  end
  return sum
end

local function read(key, fields)
  if #fields <= MOST_ARGUMENTS then
    return redis.call("HMGET", key, unpack(fields))
  end
  local values = {}
  for first = 1, #fields, MOST_ARGUMENTS do
    local last = math.min(first + MOST_ARGUMENTS - 1, #fields)
    for _, value in ipairs(redis.call("HMGET", key, unpack(fields, first, last))) do
      values[#values + 1] = value
    end
  end
  return values
end

-- Sets fields of a hash, given with their values in between. With `kept` it lives that many seconds
-- after its youngest field began, or after this if `anew`.
local function set(key, fields, kept, anew)
  if #fields > 0 and (send("HSET", key, fields) > 0 or anew) and kept then
    redis.call("EXPIRE", key, kept)
  end
end

-- Every hash that this run changes or reads texts of, in the order in which it is written.
local hashes, in_order = {}, {}

-- What this run has to do with a hash. `values`: texts as stored, false for what is absent;
-- `wanted`: those to be read; `added`: to numbers; `put`: texts, false for what is to be removed.
-- Each is there only when it is needed: in a short run, tables are most of the work.
local function hash(key, kept)
  local found = hashes[key]
  if not found then
    found = { key = key, kept = kept }
    hashes[key] = found
    in_order[#in_order + 1] = found
  end
  return found
end

-- Says that the text of a field is going to be read.
local function want(found, field)
  local wanted = found.wanted
  if wanted then
    wanted[#wanted + 1] = field
  else
    found.wanted = { field }
  end
end

-- Reads what is wanted, with one command a hash. Here and where all is written, loops count: ipairs()
-- is a call each time.
local function read_wanted()
  for at = 1, #in_order do
    local found = in_order[at]
    local wanted = found.wanted
    if wanted then
      local values, texts = found.values or {}, read(found.key, wanted)
      for place = 1, #wanted do
        values[wanted[place]] = texts[place]
      end
      found.values, found.wanted = values, nil
    end
  end
end

-- The text of a field, or false.
local function text(found, field)
  local value = found.put and found.put[field]
  if value == nil then
    value = found.values and found.values[field]
  end
  if value == nil then
    value = redis.call("HGET", found.key, field)
  end
  return value
end

local function put(found, field, value)
  if found.put then
    found.put[field] = value
  else
    found.put = { [field] = value }
  end
end

local function add(found, field, amount)
  if amount == 0 then
    return
  end
  local added = found.added
  if added then
    added[field] = (added[field] or 0) + amount
  else
    found.added = { [field] = amount }
  end
end

-- The number of a field as it will be, 0 if it is absent.
local function number(found, field)
  local stored = tonumber(redis.call("HGET", found.key, field) or 0)
  return stored + (found.added and found.added[field] or 0)
end

-- The texts of fields that have all been read before, or nil.
local function known(values, fields)
  local texts = {}
  for place = 1, #fields do
    local value = values[fields[place]]
    if value == nil then
      return nil
    end
    texts[place] = value
  end
  return texts
end

-- Reads the numbers that change.
local function read_sums(found)
  local fields, count = {}, 0
  for field in pairs(found.added) do
    count = count + 1
    fields[count] = field
  end
  found.fields = fields
  found.sums = found.values and known(found.values, fields) or read(found.key, fields)
end

local function write_sums(found, fields, gone)
  local changed, added, sums, count = found.fields, found.added, found.sums, 0
  for place = 1, #changed do
    local field = changed[place]
    local stored, amount = (sums[place] or 0) + 0, added[field]
    local sum = stored + amount
    if sum == 0 then
      gone[#gone + 1] = stored ~= 0 and field or nil
    elseif sum < EXACT and stored < EXACT then
      fields[count + 1], fields[count + 2] = field, format("%d", sum)
      count = count + 2
    else
      redis.call("HINCRBY", found.key, field, whole(amount))
    end
  end
end

local function write_texts(found, fields, gone)
  for field, value in pairs(found.put) do
    if value then
      fields[#fields + 1] = field
      fields[#fields + 1] = value
    else
      gone[#gone + 1] = field
    end
  end
end

local function write_hash(found)
  local fields, gone = {}, {}
  if found.added then
    write_sums(found, fields, gone)
  end
  if found.put then
    write_texts(found, fields, gone)
  end
  if #gone > 0 then
    send("HDEL", found.key, gone)
  end
  set(found.key, fields, found.kept, found.anew)
end

local slots, slots_in_order = {}, {}

-- A slot by its key in KEYS. `leased`: pairs of a score and an id; `ended`: ids.
local function open_slot(key)
  local slot = slots[key]
  if slot then
    return slot
  end
  local stem = string.sub(key, 1, -5) -- without "held"
  slot = {
    stem = stem, held = hash(key), holds = hash(stem .. "holds"), requests = hash(stem .. "requests"),
    leases = stem .. "leases", leased = {}, ended = {},
  }
  slots[key] = slot
  slots_in_order[#slots_in_order + 1] = slot
  -- While a cluster moves this slot, some of its keys are on this node and some are not. Reading one
  -- that is not fails; here no script has written anything yet. This one is never anywhere. What has
  -- no hash tag is one key, and moves as one; and a run of several slots is on no cluster.
  if #KEYS == 1 and string.find(key, "{", 1, true) then
    redis.call("EXISTS", stem .. "moving")
  end
  return slot
end

-- Writes all that has changed. Nothing is written before, and nothing is read after.
local function write()
  for at = 1, #in_order do
    if in_order[at].added then
      read_sums(in_order[at])
    end
  end
  for at = 1, #in_order do
    if in_order[at].added or in_order[at].put then
      write_hash(in_order[at])
    end
  end
  for _, slot in ipairs(slots_in_order) do
    if #slot.leased > 0 then
      send("ZADD", slot.leases, slot.leased)
    end
    if #slot.ended > 0 then
      send("ZREM", slot.leases, slot.ended)
    end
  end
end

-- Forgets what was read, after it was written.
local function start_anew()
  for _, found in ipairs(in_order) do
    found.values, found.wanted, found.added, found.put, found.last = nil, nil, nil, nil, nil
  end
  for _, slot in ipairs(slots_in_order) do
    slot.leased, slot.ended = {}, {}
  end
end

-- Microseconds since 1970. Redis's own clock, unless a test gives one.
local function clock(override)
  if override ~= "" then
    return tonumber(override)
  end
  local time = redis.call("TIME")
  return tonumber(time[1]) * MICROS + tonumber(time[2])
end

-- Longer than "done": what is corrected is still there.
local COUNTERS_KEPT = { day = 8 * DAY_SECONDS, week = 45 * DAY_SECONDS, month = 400 * DAY_SECONDS }

-- What is settled in a day, week or month.
local function counters(slot, kind, label)
  return hash(slot.stem .. kind .. ":" .. label, COUNTERS_KEPT[kind])
end

local function window(slot, scope)
  return hash(slot.stem .. "win:" .. scope, WINDOW_KEPT_SECONDS)
end

-- When this slot was first used, epoch ms; `now_ms` if that is now.
local function birth(slot, now_ms)
  if not slot.birth then
    local found = hash(slot.stem .. "born")
    local born = text(found, "ms")
    slot.birth = born and tonumber(born) or now_ms
    if not born then
      put(found, "ms", whole(now_ms))
    end
  end
  return slot.birth
end
