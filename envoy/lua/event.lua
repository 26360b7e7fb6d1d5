-- Quick looks into the data of one event. Events come by the thousand a second, so plain finds
-- decide which of them are decoded at all.
--
-- In JSON a string's own quotes are escaped, so a quoted name is never inside of one.

local lex = require("lex")

local M = {}

local byte, find = string.byte, string.find
local skip_space = lex.skip_space

local QUOTE, COLON, BACKSLASH, OPEN_OBJECT = 34, 58, 92, 123

-- The place and first byte of what follows `name :` at or after `from`, the first time it occurs.
function M.value_after(data, name, from)
  local _, last = find(data, name, from, true)
  while last do
    local p, c = skip_space(data, last + 1)
    if c == COLON then
      return skip_space(data, p + 1)
    end
    _, last = find(data, name, last + 1, true)
  end
  return nil
end

local value_after = M.value_after

-- The place of the quote that closes the string opened at p; nil when it is cut off.
local function closing_quote(data, p)
  local quote = find(data, '"', p + 1, true)
  while quote do
    local slashes = 0
    while byte(data, quote - slashes - 1) == BACKSLASH do
      slashes = slashes + 1
    end
    if slashes % 2 == 0 then
      return quote
    end
    quote = find(data, '"', quote + 1, true)
  end
  return nil
end

-- The bytes of all strings of this name, as spelled in JSON; what is cut off counts too.
function M.string_bytes(data, name)
  local total = 0
  local p, c = value_after(data, name, 1)
  while p do
    local last = p
    if c == QUOTE then
      last = closing_quote(data, p) or #data
      total = total + last - p - 1
    end
    p, c = value_after(data, name, last)
  end
  return total
end

-- Whether a member of this name is an object. Providers that report usage send `"usage":null` in
-- every other event, so the name alone does not say that the event is worth decoding.
function M.has_object(data, name)
  local p, c = value_after(data, name, 1)
  while p do
    if c == OPEN_OBJECT then
      return true
    end
    p, c = value_after(data, name, p)
  end
  return false
end

return M
