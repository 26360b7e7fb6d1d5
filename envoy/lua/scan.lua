-- One reading of a request body: what the gateway decides on, and where the bytes it may rewrite
-- lie. What is checked here is what splice.lua edits, so nothing may have two readings: a body that
-- two JSON parsers could understand differently is refused.

local json = require("json")
local lex = require("lex")
local media = require("media")
local unbounded = require("unbounded")

local M = {}

-- The name in `spans` of the one nested value that is read.
M.INCLUDE_USAGE = "stream_options.include_usage"

local byte, find, format = string.byte, string.find, string.format

local MAX_MEMBERS = 256
local MAX_NAME_BYTES = 256 -- as spelled; the names travel as metadata
local MAX_MODEL_BYTES = 256 -- twice the longest alias; a longer one would only burden the services
local MODEL_TOO_LONG = format("`model` must be at most %d bytes long.", MAX_MODEL_BYTES)
local MAX_N = 128 -- the most choices that OpenAI's API accepts

-- What the gateway reads or rewrites. A name that only folds to one of these is refused.
local GOVERNED = {
  model = true,
  stream = true,
  stream_options = true,
  n = true,
  max_tokens = true,
  max_completion_tokens = true,
  max_output_tokens = true,
  tools = true,
  functions = true,
  prediction = true,
  service_tier = true,
  modalities = true,
}
for _, name in ipairs(unbounded.PARAMETERS) do
  GOVERNED[name] = true
end
local GOVERNED_OPTION = { include_usage = true }
local MAX_TOKENS_FIELDS = { "max_tokens", "max_completion_tokens", "max_output_tokens" }

local LIMITS = { max_members = MAX_MEMBERS, max_name_bytes = MAX_NAME_BYTES }

-- The first reason to refuse is kept; what is read after it is not used.
local function refuse(reading, code, message)
  if not reading.code then
    reading.code, reading.message = code, message
  end
  return nil
end

local function refuse_json(reading, problem)
  return refuse(reading, "invalid_body", format("The body must be one JSON object: %s.", problem))
end

-- The members by name. A name that occurs twice, or hides a governed one, refuses the body.
local function by_name(reading, members, governed, prefix)
  local index = {}
  for _, member in ipairs(members) do
    local key = member.key
    local meant = lex.fold(key)
    if governed[meant] and (key ~= meant or key ~= member.raw) then
      local name = prefix .. meant
      local message = format("Spell the parameter `%s` exactly so, without escapes.", name)
      refuse(reading, "ambiguous_body", message)
    elseif index[key] then
      refuse(reading, "ambiguous_body", "The body holds a parameter twice; send each one once.")
    end
    index[key] = member
  end
  return index
end

-- Single values. A member that is absent or null gives nil (a flag: false), a wrong one refuses.

local function first_byte(reading, member)
  return member and byte(reading.s, member.value_start) or 110 -- absent is null
end

local function is_set(reading, member)
  return first_byte(reading, member) ~= 110
end

local function flag(reading, member, name)
  local first = first_byte(reading, member)
  if first ~= 116 and first ~= 102 and first ~= 110 then
    refuse(reading, "invalid_body", format("`%s` must be true, false or null.", name))
  end
  return first == 116
end

local function integer(reading, member, least, most, message)
  if first_byte(reading, member) == 110 then
    return nil
  end
  local value = json.integer(reading.s, member.value_start, member.value_end)
  if not value or value < least or value > most then
    return refuse(reading, "invalid_body", message)
  end
  return value
end

local function largest_max_tokens(reading, index)
  local largest
  for _, name in ipairs(MAX_TOKENS_FIELDS) do
    local message = format("`%s` must be an integer from 1 to 2^53, or null.", name)
    local value = integer(reading, index[name], 1, 2 ^ 53, message)
    if value and value > (largest or 0) then
      largest = value
    end
  end
  return largest
end

local function model_text_problem(model)
  if not model or find(model, "%c") then
    return "`model` must be Unicode text without control characters."
  elseif model == "" then
    return "`model` must not be empty."
  elseif #model > MAX_MODEL_BYTES then
    return MODEL_TOO_LONG
  end
  return nil
end

local function model_name(reading, member)
  if not member then
    return refuse(reading, "model_missing", "Name a model: the body needs a string `model`.")
  elseif first_byte(reading, member) ~= 34 then
    return refuse(reading, "model_missing", "`model` must be a string.")
  elseif member.value_end - member.value_start > 6 * MAX_MODEL_BYTES + 1 then -- even if all escaped
    return refuse(reading, "model_missing", MODEL_TOO_LONG)
  end
  local model = lex.unescape(reading.s, member.value_start + 1, member.value_end - 1)
  local problem = model_text_problem(model)
  if problem then
    return refuse(reading, "model_missing", problem)
  end
  return model
end

-- The member include_usage of stream_options, if there is one.
local function include_usage_member(reading, options)
  local first = first_byte(reading, options)
  if first == 110 then
    return nil
  elseif first ~= 123 then
    return refuse(reading, "invalid_body", "`stream_options` must be an object or null.")
  end
  local members, problem = json.members(reading.s, options.value_start, LIMITS)
  if not members then
    return refuse_json(reading, problem)
  end
  return by_name(reading, members, GOVERNED_OPTION, "stream_options.").include_usage
end

local function span_of(member)
  return { member.value_start, member.value_end }
end

local function spans_of(members, include_usage)
  local spans = {}
  for _, member in ipairs(members) do
    spans[member.key] = span_of(member)
  end
  -- Set in any case: a top-level member may bear this very name.
  spans[M.INCLUDE_USAGE] = include_usage and span_of(include_usage) or nil
  return spans
end

local function read(reading, watch)
  local s = reading.s
  local members, problem = json.document(s, watch)
  if not members then
    return refuse_json(reading, problem)
  end
  local index = by_name(reading, members, GOVERNED, "")
  local include_usage = include_usage_member(reading, index.stream_options)
  local n_message = format("`n` must be an integer from 1 to %d, or null.", MAX_N)
  return {
    model = model_name(reading, index.model),
    stream = flag(reading, index.stream, "stream"),
    include_usage = flag(reading, include_usage, M.INCLUDE_USAGE),
    n = integer(reading, index.n, 1, MAX_N, n_message) or 1,
    max_tokens = largest_max_tokens(reading, index),
    text_bytes = #s - watch.bytes,
    media_parts = watch.parts,
    tools = is_set(reading, index.tools) or is_set(reading, index.functions),
    prediction = is_set(reading, index.prediction),
    unbounded = unbounded.first(s, index),
    spans = spans_of(members, include_usage),
  }
end

-- Reads a JSON request body of the OpenAI dialect. Returns its facts:
--   model          string, decoded
--   stream         bool
--   include_usage  bool: the client itself asked for the usage chunk
--   n              choices asked for, 1 to 128
--   max_tokens     the largest of the three fields that cap the output, in tokens, or nil
--   text_bytes     length of the body less its pictures, sounds and films (media.lua)
--   media_parts    number of pictures, sounds, films and files, at any depth
--   tools          bool: there are tools or functions
--   prediction     bool: there is a prediction
--   unbounded      name of a parameter whose cost no token counts bound (unbounded.lua), or nil
--   spans          {first, last} byte of the value of each top-level member, by decoded name, and
--                  of spans["stream_options.include_usage"]
-- or nil, a decision code (invalid_body, model_missing, ambiguous_body) and a sentence for the
-- client, which names parameters and positions and never quotes the body.
function M.chat_like(s)
  local reading = { s = s }
  local watch = media.watch()
  watch.max_members, watch.max_name_bytes, watch.utf8 = MAX_MEMBERS, MAX_NAME_BYTES, true
  local facts = read(reading, watch)
  if reading.code then
    return nil, reading.code, reading.message
  end
  return facts
end

return M
