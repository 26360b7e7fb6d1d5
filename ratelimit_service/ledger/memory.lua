-- The commands of Redis that the ledger's scripts use, on tables in memory.
--
-- Returns run(source, keys, args), drop(stem) and call(command, …). Values are strings, as in Redis;
-- what is absent reads as false. Nothing expires: a key lives no longer than an outage, and the
-- scripts compare times themselves.

local db, chunks = {}, {}

local function hash(key)
  db[key] = db[key] or {}
  return db[key]
end

local function get(key, field)
  local found = db[key]
  return found and found[field] or false
end

local commands = {}

function commands.HGET(key, field)
  return get(key, field)
end

function commands.HMGET(key, ...)
  local values = { ... }
  for place, field in ipairs(values) do
    values[place] = get(key, field)
  end
  return values
end

function commands.EXISTS(key)
  return db[key] and 1 or 0
end

function commands.HSET(key, ...)
  local pairs_of = { ... }
  for place = 1, #pairs_of, 2 do
    hash(key)[pairs_of[place]] = tostring(pairs_of[place + 1])
  end
  return #pairs_of / 2
end

function commands.HINCRBY(key, field, amount)
  local sum = tonumber(get(key, field) or 0) + tonumber(amount)
  hash(key)[field] = string.format("%.0f", sum)
  return sum
end

function commands.HDEL(key, ...)
  for _, field in ipairs({ ... }) do
    hash(key)[field] = nil
  end
  return select("#", ...)
end

function commands.DEL(key)
  db[key] = nil
  return 1
end

function commands.EXPIRE()
  return 1
end

-- No score is below this: most calls find nothing that is due, and need not look.
local earliest = {}

function commands.ZADD(key, ...)
  local pairs_of = { ... }
  for place = 1, #pairs_of, 2 do
    local score = tonumber(pairs_of[place])
    hash(key)[pairs_of[place + 1]] = score
    earliest[key] = math.min(earliest[key] or math.huge, score)
  end
  return #pairs_of / 2
end

commands.ZREM = commands.HDEL

-- Always ZRANGEBYSCORE key -inf most LIMIT 0 count.
function commands.ZRANGEBYSCORE(key, _, most, _, _, count)
  if (earliest[key] or math.huge) > tonumber(most) then
    return {}
  end
  local found, scores = {}, db[key] or {}
  earliest[key] = math.huge
  for member, score in pairs(scores) do
    earliest[key] = math.min(earliest[key], score)
    if score <= tonumber(most) then
      found[#found + 1] = member
    end
  end
  table.sort(found, function(one, other)
    return scores[one] < scores[other] or (scores[one] == scores[other] and one < other)
  end)
  return { unpack(found, 1, count) }
end

redis = {}

function redis.call(command, ...)
  return commands[command](...)
end

function redis.error_reply(message)
  return { err = message }
end

local function run(source, keys, args)
  chunks[source] = chunks[source] or assert(loadstring(source))
  KEYS, ARGV = keys, args
  return chunks[source]()
end

-- Forgets every key that begins with `stem`.
local function drop(stem)
  for key in pairs(db) do
    if string.sub(key, 1, #stem) == stem then
      db[key], earliest[key] = nil, nil
    end
  end
end

local function call(command, ...)
  return commands[command](...)
end

return run, drop, call
