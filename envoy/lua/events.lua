-- What the events of a stream tell, endpoint by endpoint. A reading is a function (reader, data) that
-- takes what one event tells into the fields of the reader (sse.lua); true when reporting usage is
-- all that the event is for. `data` is its text; what is malformed tells nothing.

local anthropic = require("anthropic")
local event = require("event")
local fields = require("fields")
local json = require("json")
local usage = require("usage")

local M = {}

local find, sub = string.find, string.sub
local by_key, is_object, object = fields.by_key, fields.is_object, fields.object
local has_object, string_bytes, value_after = event.has_object, event.string_bytes, event.value_after
local skip_space = require("lex").skip_space

local OPEN_ARRAY, CLOSE_ARRAY = 91, 93

-- The members whose text a provider charges as output.
local CHAT_CONTENT = { '"content"', '"reasoning_content"', '"reasoning"', '"refusal"', '"arguments"', '"text"' }
local MESSAGES_CONTENT = { '"text"', '"thinking"', '"partial_json"' }

local function take_content(reader, data, names)
  reader.events = reader.events + 1
  for i = 1, #names do
    reader.content_bytes = reader.content_bytes + string_bytes(data, names[i])
  end
end

-- What comes after it is not in it yet.
local function take_usage(reader, counts)
  if counts then
    reader.usage = counts
    reader.counted_events, reader.counted_bytes = reader.events, reader.content_bytes
  end
end

local function text_of(data, member)
  return fields.is_string(data, member) and sub(data, member.value_start + 1, member.value_end - 1) or ""
end

-- Chat completions and completions. `choices` comes with something in it, or the event only reports.

local function has_choices(data)
  local p, c = value_after(data, '"choices"', 1)
  if c ~= OPEN_ARRAY then
    return false
  end
  local _, first = skip_space(data, p + 1)
  return first ~= CLOSE_ARRAY
end

local function take_reported(reader, data)
  local answer = by_key(json.document(data))
  take_usage(reader, usage.from_members(data, answer, "chat/completions"))
  local choices = answer.choices
  local nothing_else = choices and find(data, "^%[[ \t\r\n]*%]", choices.value_start) ~= nil
  return nothing_else and is_object(data, answer.usage) or false
end

local function chat(reader, data)
  if has_choices(data) then
    take_content(reader, data, CHAT_CONTENT)
  elseif find(data, "[DONE]", 1, true) and find(data, "^ ?%[DONE%]%s*$") then
    reader.done = true
  end
  return has_object(data, '"usage"') and take_reported(reader, data)
end

-- Responses: the last event of all has the whole answer, and the usage in it.

local LAST_OF_RESPONSE = {
  ["response.completed"] = true,
  ["response.incomplete"] = true,
  ["response.failed"] = true,
  ["response.cancelled"] = true,
}
local DELTA = { '"delta"' }

local function take_response(reader, data)
  local members = by_key(json.document(data))
  if is_object(data, members.response) and LAST_OF_RESPONSE[text_of(data, members.type)] then
    take_usage(reader, usage.from_members(data, object(data, members.response), "responses"))
    reader.done = true
  elseif members.delta then
    take_content(reader, data, DELTA)
  end
end

local function responses(reader, data)
  -- An answer repeats the caller's tools, which may have any name in them; a delta has no answer.
  if find(data, '"response"', 1, true) then
    take_response(reader, data)
  elseif find(data, '"delta"', 1, true) then
    take_content(reader, data, DELTA)
  end
  return false
end

-- Messages: the input is known at message_start, the output at message_delta.

local function take_pieces(reader, data)
  local members = by_key(json.document(data))
  local own = is_object(data, members.usage) and members.usage or object(data, members.message).usage
  reader.pieces = reader.pieces or {}
  anthropic.add(reader.pieces, data, object(data, own))
  if text_of(data, members.type) == "message_delta" then
    take_usage(reader, anthropic.usage(reader.pieces))
  end
  -- vLLM says 0 here, and how much it was at message_delta.
  local input = anthropic.input(reader.pieces)
  reader.input = input and input.input_tokens > 0 and input or reader.input
end

local function messages(reader, data)
  if find(data, '"content_block_delta"', 1, true) then
    take_content(reader, data, MESSAGES_CONTENT)
  elseif has_object(data, '"usage"') then
    take_pieces(reader, data)
  elseif find(data, '"message_stop"', 1, true) then
    reader.done = true
  end
  return false
end

-- Sound and pictures: the event that ends one has its usage.

local function add(sums, counts)
  for name, value in pairs(counts) do
    sums[name] = type(value) == "number" and (sums[name] or 0) + value or value
  end
  return sums
end

-- A stream of several pictures has an event with usage for each, or with the last: what they cost is
-- known when all that were asked for have come.
local function pictures(reader, data)
  if not find(data, '.completed"', 1, true) then
    return false
  end
  local members = by_key(json.document(data))
  if find(text_of(data, members.type), "%.completed$") then
    reader.events = reader.events + 1
    reader.drawn = add(reader.drawn or {}, usage.from_members(data, members, "images/edits", 1))
    reader.done = reader.events >= reader.pictures
    take_usage(reader, reader.done and reader.drawn or nil)
  end
  return false
end

local function sound(endpoint)
  return function(reader, data)
    if find(data, '"delta"', 1, true) then
      take_content(reader, data, DELTA)
    elseif has_object(data, '"usage"') then
      take_usage(reader, usage.from_members(data, by_key(json.document(data)), endpoint))
    else
      reader.events = reader.events + 1
    end
    reader.done = reader.done or find(data, '.done"', 1, true) ~= nil
    return false
  end
end

local READINGS = {
  ["audio/speech"] = sound("audio/speech"),
  ["audio/transcriptions"] = sound("audio/transcriptions"),
  ["audio/translations"] = sound("audio/translations"),
  ["images/edits"] = pictures,
  ["images/generations"] = pictures,
  messages = messages,
  responses = responses,
  ["responses/id"] = responses,
}

-- The stream has ended: of pictures there may be fewer than were asked for.
function M.conclude(reader)
  if reader.drawn and not reader.done then
    reader.done = true
    take_usage(reader, reader.drawn)
  end
end

-- The reading of an endpoint's events.
function M.reading(endpoint)
  return READINGS[endpoint] or chat
end

return M
