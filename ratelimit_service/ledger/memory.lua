-- The commands of Redis that the ledger's scripts use, on tables in memory.
--
-- Returns run(database, source, keys, args), drop(database) and call(database, command, …).
-- Values are strings, as in Redis; what is absent reads as false. Nothing expires: a database lives
-- no longer than an outage, and the scripts compare times themselves.

local databases, chunks = {}, {}
local db

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

function commands.HEXISTS(key, field)
  return get(key, field) and 1 or 0
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
end

function commands.DEL(key)
  db[key] = nil
end

function commands.EXPIRE()
  return 1
end

-- No score is below this: most calls find nothing that is due, and need not look.
local earliest = {}

function commands.ZADD(key, score, member)
  hash(key)[member] = tonumber(score)
  earliest[db] = math.min(earliest[db] or math.huge, tonumber(score))
end

commands.ZREM = commands.HDEL

-- Always ZRANGEBYSCORE key -inf most LIMIT 0 count.
function commands.ZRANGEBYSCORE(key, _, most, _, _, count)
  if (earliest[db] or math.huge) > tonumber(most) then
    return {}
  end
  local found, scores = {}, db[key] or {}
  earliest[db] = math.huge
  for member, score in pairs(scores) do
    earliest[db] = math.min(earliest[db], score)
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

local function choose(database)
  databases[database] = databases[database] or {}
  db = databases[database]
end

local function run(database, source, keys, args)
  choose(database)
  chunks[source] = chunks[source] or assert(loadstring(source))
  KEYS, ARGV = keys, args
  return chunks[source]()
end

local function drop(database)
  earliest[databases[database]] = nil
  databases[database] = nil
end

local function call(database, command, ...)
  choose(database)
  return commands[command](...)
end

return run, drop, call
