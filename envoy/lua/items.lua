-- The items of an array, in a text that json.lua has read as valid.

local lex = require("lex")

local M = {}

local byte, find = string.byte, string.find
local skip_space = lex.skip_space

local QUOTE, COMMA, BACKSLASH = 34, 44, 92
local OPEN_ARRAY, CLOSE_ARRAY, OPEN_OBJECT, CLOSE_OBJECT = 91, 93, 123, 125

local function is_escaped(s, quote)
  local before = quote - 1
  while byte(s, before) == BACKSLASH do
    before = before - 1
  end
  return (quote - before) % 2 == 0
end

local function string_last(s, p)
  local quote = find(s, '"', p + 1, true)
  while is_escaped(s, quote) do
    quote = find(s, '"', quote + 1, true)
  end
  return quote
end

local function container_last(s, p)
  local depth = 0
  while true do
    local c = byte(s, p)
    if c == QUOTE then
      p = string_last(s, p)
    elseif c == OPEN_ARRAY or c == OPEN_OBJECT then
      depth = depth + 1
    elseif c == CLOSE_ARRAY or c == CLOSE_OBJECT then
      depth = depth - 1
      if depth == 0 then
        return p
      end
    end
    p = p + 1
  end
end

-- The last byte of the value that starts at p.
local function value_last(s, p, c)
  if c == QUOTE then
    return string_last(s, p)
  elseif c == OPEN_ARRAY or c == OPEN_OBJECT then
    return container_last(s, p)
  end
  return lex.literal_end(s, p, c) and lex.literal_end(s, p, c) - 1 or lex.number_end(s, p) - 1
end

-- How many items the member's value has, when it is an array and is_good(s, first, c) holds for
-- each: an item starts at s[first] with the byte c. Else nil.
function M.count(s, member, is_good)
  if byte(s, member.value_start) ~= OPEN_ARRAY then
    return nil
  end
  local count, p, c = 0, skip_space(s, member.value_start + 1)
  while p < member.value_end do
    if is_good and not is_good(s, p, c) then
      return nil
    end
    count = count + 1
    p, c = skip_space(s, value_last(s, p, c) + 1)
    if c == COMMA then
      p, c = skip_space(s, p + 1)
    end
  end
  return count
end

return M
