-- Single values of a provider's JSON, by the members that json.lua located. What is absent, or is
-- not of the type asked for, is nil; nothing here raises on what a provider sends.

local json = require("json")
local lex = require("lex")

local M = {}

local byte, find, floor, sub = string.byte, string.find, math.floor, string.sub

local QUOTE, OPEN_OBJECT = 34, 123
local LONGEST_MILLISECONDS = 2 ^ 53

-- Members by name; of a name that occurs twice, the last.
function M.by_key(members)
  local index = {}
  for _, member in ipairs(members or {}) do
    index[member.key] = member
  end
  return index
end

function M.is_object(s, member)
  return member ~= nil and byte(s, member.value_start) == OPEN_OBJECT
end

-- The members of an object by name; none when the member is anything else.
function M.object(s, member)
  if not M.is_object(s, member) then
    return {}
  end
  return M.by_key(json.members(s, member.value_start))
end

function M.count(s, member)
  return member and json.integer(s, member.value_start, member.value_end)
end

-- The first of some members that is a count.
function M.first_count(s, ...)
  for i = 1, select("#", ...) do
    local value = M.count(s, (select(i, ...)))
    if value then
      return value
    end
  end
  return nil
end

-- Seconds, with or without a fraction, as whole milliseconds: to the nearest one, since 1.1 has no
-- exact double.
function M.milliseconds(s, member)
  if not member or lex.number_end(s, member.value_start) ~= member.value_end + 1 then
    return nil
  end
  local seconds = tonumber(sub(s, member.value_start, member.value_end))
  local milliseconds = floor(seconds * 1000 + 0.5)
  return milliseconds >= 0 and milliseconds <= LONGEST_MILLISECONDS and milliseconds + 0 or nil
end

function M.is_string(s, member)
  return member ~= nil and byte(s, member.value_start) == QUOTE
end

-- The name of a service tier, "other" where it could not be one.
function M.service_tier(s, member)
  if not M.is_string(s, member) then
    return nil
  end
  local text = sub(s, member.value_start + 1, member.value_end - 1)
  return #text <= 20 and find(text, "^[a-z_]+$") and text or "other"
end

return M
