-- One reading of a request body: what the gateway decides on, and where the bytes it may rewrite
-- lie. What is checked here is what splice.lua edits, so nothing may have two readings: a body that
-- two JSON parsers could understand differently is refused.

local json = require("json")
local lex = require("lex")

local M = {}

-- The name in `spans` of the one nested value that is read.
M.INCLUDE_USAGE = "stream_options.include_usage"

local byte, find, format, gsub, lower, match, sub =
  string.byte, string.find, string.format, string.gsub, string.lower, string.match, string.sub

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
}
local GOVERNED_OPTION = { include_usage = true }
local MAX_TOKENS_FIELDS = { "max_tokens", "max_completion_tokens", "max_output_tokens" }

local LIMITS = { max_members = MAX_MEMBERS, max_name_bytes = MAX_NAME_BYTES }

-- Object keys whose value is an image, a sound or a document, and their lengths for a quick no.
local MEDIA_KEYS = { image_url = true, input_image = true, input_audio = true, file = true }
local MEDIA_KEY_LENGTHS = { [4] = true, [9] = true, [11] = true }
local LONGEST_ESCAPED_MEDIA_KEY = 6 * 11

-- Well-formed UTF-8 beyond ASCII (Unicode 16, table 3-7).
local UTF8_SEQUENCES = {
  "[\194-\223][\128-\191]",
  "\224[\160-\191][\128-\191]",
  "[\225-\236\238\239][\128-\191][\128-\191]",
  "\237[\128-\159][\128-\191]",
  "\240[\144-\191][\128-\191][\128-\191]",
  "[\241-\243][\128-\191][\128-\191][\128-\191]",
  "\244[\128-\143][\128-\191][\128-\191]",
}

-- Other parsers match names without regard to case: Go's encoding/json folds these two beyond
-- ASCII (U+017F, U+212A). Parsers on C strings end a name at its first NUL.
local function fold(name)
  local folded = lower(match(name, "^%Z*"))
  return (gsub(gsub(folded, "\197\191", "s"), "\226\132\170", "k"))
end

-- Metadata travels as protobuf, whose readers drop a whole message over one malformed string: a
-- name or a model that is not UTF-8 could otherwise keep a request out of the ledger.
local function is_utf8(s)
  for _, sequence in ipairs(UTF8_SEQUENCES) do
    s = gsub(s, sequence, "-")
  end
  return not find(s, "[\128-\255]")
end

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
    local meant = fold(key)
    if governed[meant] and (key ~= meant or key ~= member.raw) then
      local name = prefix .. meant
      local message = format("Spell the parameter `%s` exactly so, without escapes.", name)
      refuse(reading, "ambiguous_body", message)
    elseif not is_utf8(key) then
      refuse(reading, "invalid_body", "The body has a parameter whose name is not UTF-8.")
    elseif index[key] then
      refuse(reading, "ambiguous_body", "The body holds a parameter twice; send each one once.")
    end
    index[key] = member
  end
  return index
end

-- Media: every byte that is not counted as text belongs to a media part that is counted.

local function on_key(watch, s, first, last, escaped)
  local key
  if escaped and last - first < LONGEST_ESCAPED_MEDIA_KEY then
    key = lex.unescape(s, first, last)
  elseif MEDIA_KEY_LENGTHS[last - first + 1] then
    key = sub(s, first, last)
  end
  if not key or not MEDIA_KEYS[lower(key)] then
    return false
  end
  watch.media_parts = watch.media_parts + 1
  return true
end

local function on_marked_string(watch, s, first, last)
  local a, b, c, d, e = byte(s, first, first + 4)
  if a == 100 and b == 97 and c == 116 and d == 97 and e == 58 then -- data:
    watch.media_bytes = watch.media_bytes + last - first + 1
  end
end

-- Single values. A member that is absent or null gives nil (a flag: false), a wrong one refuses.

local function first_byte(reading, member)
  return member and byte(reading.s, member.value_start) or 110 -- absent is null
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
    local message = format("`%s` must be an integer from 0 to 2^53, or null.", name)
    local value = integer(reading, index[name], 0, 2 ^ 53, message)
    if value and value > (largest or -1) then
      largest = value
    end
  end
  return largest
end

local function model_text_problem(model)
  if not model or find(model, "%c") or not is_utf8(model) then
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
    text_bytes = #s - watch.media_bytes,
    media_parts = watch.media_parts,
    spans = spans_of(members, include_usage),
  }
end

-- Reads a JSON request body of the OpenAI dialect. Returns its facts:
--   model          string, decoded
--   stream         bool
--   include_usage  bool: the client itself asked for the usage chunk
--   n              choices asked for, 1 to 128
--   max_tokens     the largest of the three fields that cap the output, in tokens, or nil
--   text_bytes     length of the body less its `data:` strings in media parts
--   media_parts    number of object keys, at any depth, that hold an image, a sound or a file
--   spans          {first, last} byte of the value of each top-level member, by decoded name, and
--                  of spans["stream_options.include_usage"]
-- or nil, a decision code (invalid_body, model_missing, ambiguous_body) and a sentence for the
-- client, which names parameters and positions and never quotes the body.
function M.chat_like(s)
  local reading = { s = s }
  local watch = {
    max_members = MAX_MEMBERS,
    max_name_bytes = MAX_NAME_BYTES,
    on_key = on_key,
    on_marked_string = on_marked_string,
    media_parts = 0,
    media_bytes = 0,
  }
  local facts = read(reading, watch)
  if reading.code then
    return nil, reading.code, reading.message
  end
  return facts
end

return M
