-- What one event of an OpenAI-dialect stream tells, from the bytes of its data. Events come by the
-- thousand a second, so quick plain finds decide which of them are decoded.

local json = require("json")
local lex = require("lex")
local usage = require("usage")

local M = {}

local byte, find = string.byte, string.find
local skip_space = lex.skip_space

local QUOTE, COLON, BACKSLASH, OPEN_ARRAY, CLOSE_ARRAY, OPEN_OBJECT = 34, 58, 92, 91, 93, 123

-- The delta members whose text a provider charges as output, chat and legacy completions alike.
local CONTENT = { '"content"', '"reasoning_content"', '"refusal"', '"arguments"', '"text"' }

-- The place and first byte of what follows `name :` at or after `from`, for each time it occurs.
-- In JSON a string's own quotes are escaped, so a quoted name is never inside of one.
local function value_after(data, name, from)
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

local function string_bytes(data, name)
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

-- The bytes of generated text in an event, as spelled in JSON; what is cut off counts too.
function M.content_bytes(data)
  local total = 0
  for i = 1, #CONTENT do
    total = total + string_bytes(data, CONTENT[i])
  end
  return total
end

-- Whether `choices` holds anything.
function M.has_choices(data)
  local p, c = value_after(data, '"choices"', 1)
  if c ~= OPEN_ARRAY then
    return false
  end
  local _, first = skip_space(data, p + 1)
  return first ~= CLOSE_ARRAY
end

-- Providers that report usage send `"usage":null` in every other event, so the name alone does not
-- say that the event is worth decoding.
function M.may_report_usage(data)
  local p, c = value_after(data, '"usage"', 1)
  while p do
    if c == OPEN_OBJECT then
      return true
    end
    p, c = value_after(data, '"usage"', p)
  end
  return false
end

-- The usage of an event, if it reports one, and whether reporting is all it is for.
function M.read_usage(data)
  local members = json.document(data)
  local reported, choices
  for _, member in ipairs(members or {}) do
    if member.key == "usage" then
      reported = member
    elseif member.key == "choices" then
      choices = member
    end
  end
  if not reported or byte(data, reported.value_start) ~= OPEN_OBJECT then
    return nil, false
  end
  local counts = usage.from_object(data, reported.value_start, reported.value_end)
  local empty = choices and find(data, "^%[[ \t\r\n]*%]", choices.value_start) ~= nil
  return counts, empty or false
end

return M
