-- One reading of a JSON request body: what the gateway decides on, and where the bytes it may
-- rewrite lie. What is checked here is what splice.lua edits, so nothing may have two readings: a
-- body that two JSON parsers could understand differently is refused. form.lua reads multipart.

local items = require("items")
local json = require("json")
local lex = require("lex")
local media = require("media")
local unbounded = require("unbounded")
local values = require("values")

local M = {}

-- The name in `spans` of the one nested value that is read.
M.INCLUDE_USAGE = "stream_options.include_usage"

local byte, find, format = string.byte, string.find, string.format
local flag, integer, is_set, refuse = values.flag, values.integer, values.is_set, values.refuse

local QUOTE, OPEN_ARRAY, NULL, OPEN_OBJECT = 34, 91, 110, 123

local MAX_MEMBERS = 256
local MAX_NAME_BYTES = 256 -- as spelled; the names travel as metadata
local MAX_N = 128 -- the most choices that OpenAI's API accepts
local MAX_IMAGES = 10 -- the most images that OpenAI's API makes at once

-- What the gateway reads or rewrites. A name that only folds to one of these is refused, at every
-- endpoint: one list leaves no gap between them.
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
  documents = true,
  input = true,
  previous_response_id = true,
  quality = true,
  size = true,
  suffix = true,
  top_n = true,
}
for _, name in ipairs(unbounded.names()) do
  GOVERNED[name] = true
end
local GOVERNED_OPTION = { include_usage = true }

local function between(name, least, most)
  return format("`%s` must be an integer from %s, or null.", name, least .. " to " .. most)
end

local WRONG_CAP = {}
local MAX_TOKENS_FIELDS = { "max_tokens", "max_completion_tokens", "max_output_tokens" }
for _, name in ipairs(MAX_TOKENS_FIELDS) do
  WRONG_CAP[name] = between(name, 1, "2^53")
end
local WRONG_N = { [MAX_N] = between("n", 1, MAX_N), [MAX_IMAGES] = between("n", 1, MAX_IMAGES) }

local LIMITS = { max_members = MAX_MEMBERS, max_name_bytes = MAX_NAME_BYTES }

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

local function largest_max_tokens(reading, index)
  local largest
  for _, name in ipairs(MAX_TOKENS_FIELDS) do
    local value = integer(reading, index[name], 1, 2 ^ 53, WRONG_CAP[name])
    if value and value > (largest or 0) then
      largest = value
    end
  end
  return largest
end

-- The member include_usage of stream_options, if there is one.
local function include_usage_member(reading, options)
  local first = values.first_byte(reading, options)
  if first == NULL then
    return nil
  elseif first ~= OPEN_OBJECT then
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

-- What the endpoints read beyond what all of them do.

local function count_of(reading, index, most)
  return integer(reading, index.n, 1, most, WRONG_N[most]) or 1
end

local function chat(reading, index, facts)
  facts.n = count_of(reading, index, MAX_N)
end

-- One text or one array of tokens is one prompt; an array of either holds several.
local function prompts(reading, member)
  local first = values.first_byte(reading, member)
  if first == NULL or first == QUOTE then
    return 1
  end
  local kind
  local count = first == OPEN_ARRAY and items.count(reading.s, member, function(_, _, c)
    local this = (c == QUOTE or c == OPEN_ARRAY) and c or c >= 48 and c <= 57 and 48
    kind = kind or this
    return this and this == kind
  end)
  if not count then
    return refuse(reading, "invalid_body",
      "`prompt` must be a string, or an array of strings, of tokens, or of arrays of tokens.")
  end
  return kind == 48 and 1 or math.max(count, 1)
end

local function completions(reading, index, facts)
  facts.prompts = prompts(reading, index.prompt) or 1
  facts.n = count_of(reading, index, MAX_N) * facts.prompts
end

-- "none" is how the absence of an id is told.
local function previous_response(reading, member)
  local id = values.word(reading, member, "^[%w_.-]+$", "none")
  local is_id = not is_set(reading, member) or #id <= 200 and id ~= "none"
  if is_id and (id ~= "other" or values.text(reading, member) == "other") then
    return id
  end
  return refuse(reading, "invalid_body",
    "`previous_response_id` must be null or the id of a response: at most 200 of A-Z a-z 0-9 _ . -.")
end

local function responses(reading, index, facts)
  facts.previous_response_id = previous_response(reading, index.previous_response_id)
end

local function characters_of(text)
  local count = 0
  for p = 1, #text do
    local c = byte(text, p)
    if c < 0x80 or c > 0xBF then
      count = count + 1
    end
  end
  return count
end

local function speech(reading, index, facts)
  local text = values.text(reading, index.input)
  if not text then
    return refuse(reading, "invalid_body", "`input` must be a string of Unicode text.")
  end
  facts.characters = characters_of(text)
end

-- What a price list tells images apart by, of the two values as decoded.
local VARIANT = "^[%w_.-]+$"
function M.image_variant(quality, size)
  quality = #quality <= 20 and find(quality, VARIANT) and quality or "other"
  size = #size <= 20 and find(size, VARIANT) and size or "other"
  return quality .. " " .. size
end

local function images(reading, index, facts)
  facts.n = count_of(reading, index, MAX_IMAGES)
  local quality = values.word(reading, index.quality, VARIANT, "default")
  facts.image_variant = M.image_variant(quality, values.word(reading, index.size, VARIANT, "default"))
end

local function rerank(reading, index, facts)
  integer(reading, index.top_n, 0, 2 ^ 53, "`top_n` must be an integer from 0 to 2^53, or null.")
  facts.documents = index.documents and items.count(reading.s, index.documents)
  if not facts.documents then
    refuse(reading, "invalid_body", "`documents` must be an array.")
  end
end

local OWN = {
  ["chat/completions"] = chat,
  completions = completions,
  responses = responses,
  ["audio/speech"] = speech,
  ["images/generations"] = images,
  rerank = rerank,
}

local function read(reading, watch, endpoint)
  local s = reading.s
  local members, problem = json.document(s, watch)
  if not members then
    return refuse_json(reading, problem)
  end
  local index = by_name(reading, members, GOVERNED, "")
  local include_usage = include_usage_member(reading, index.stream_options)
  local facts = {
    model = values.model_name(reading, index.model),
    stream = flag(reading, index.stream, "stream"),
    include_usage = flag(reading, include_usage, M.INCLUDE_USAGE),
    n = 1,
    max_tokens = largest_max_tokens(reading, index),
    text_bytes = #s - watch.bytes,
    media_parts = watch.parts,
    tools = is_set(reading, index.tools) or is_set(reading, index.functions),
    prediction = is_set(reading, index.prediction),
    cache_control = watch.cache_control,
    service_tier = values.word(reading, index.service_tier, "^[a-z_]+$", "none"),
    spans = spans_of(members, include_usage),
  }
  if #facts.service_tier > 20 then
    facts.service_tier = "other"
  end
  if OWN[endpoint] then
    OWN[endpoint](reading, index, facts)
  end
  facts.unbounded = unbounded.first(s, index, endpoint, facts.prompts)
  return facts
end

-- Reads the JSON body of a call of `endpoint`, such as "chat/completions". Returns its facts:
--   model          string, decoded
--   stream         bool
--   include_usage  bool: the client itself asked for the usage chunk
--   n              choices asked for, of all prompts together; images at images/*
--   max_tokens     the largest of the three fields that cap the output, in tokens, or nil
--   text_bytes     length of the body less its pictures, sounds and films (media.lua)
--   media_parts    number of pictures, sounds, films and files, at any depth
--   tools          bool: there are tools or functions
--   prediction     bool: there is a prediction
--   cache_control  bool: the name occurs, at any depth
--   service_tier   the tier asked for, "other" if it is no short word, "none"
--   unbounded      name of a parameter whose cost no token counts bound (unbounded.lua), or nil
--   prompts        number of prompts (completions)
--   previous_response_id   the id or "none" (responses)
--   characters     Unicode characters of the text to speak (audio/speech)
--   image_variant  "QUALITY SIZE", "default" where not stated (images/*)
--   documents      number of documents (rerank)
--   spans          {first, last} byte of the value of each top-level member, by decoded name, and
--                  of spans["stream_options.include_usage"]
-- or nil, a decision code (invalid_body, model_missing, ambiguous_body) and a sentence for the
-- client, which names parameters and positions and never quotes the body.
function M.read(s, endpoint)
  local reading = { s = s }
  local watch = media.watch(endpoint)
  watch.max_members, watch.max_name_bytes, watch.utf8 = MAX_MEMBERS, MAX_NAME_BYTES, true
  local facts = read(reading, watch, endpoint)
  if reading.code then
    return nil, reading.code, reading.message
  end
  return facts
end

return M
