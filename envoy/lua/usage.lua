-- The counts that a provider reports, from the JSON bytes of its answer; docs/usage.md says which
-- provider reports what, and where.
--
-- A usage table has counts, by their names in `tollhouse.response`: input_tokens and of it
-- cached_input_tokens, cache_write_tokens, cache_write_1h_tokens, input_audio_tokens and
-- input_image_tokens; output_tokens and of it reasoning_tokens, output_audio_tokens and
-- output_image_tokens; images, audio_milliseconds, search_units; and service_tier, text. A count
-- that is absent, or not a non-negative integer, is nil; with no count there is no table at all, so
-- that the ledger estimates instead of charging nothing.

local anthropic = require("anthropic")
local fields = require("fields")
local json = require("json")

local M = {}

local byte, find = string.byte, string.find
local count, first_count, object = fields.count, fields.first_count, fields.object

local OPEN_ARRAY = 91
local COUNTS = { "input_tokens", "output_tokens", "images", "audio_milliseconds", "search_units" }

-- Some providers report reasoning beside completion_tokens, not in it (xAI), or nowhere but in
-- total_tokens (Gemini). All bill it as output: what the total has beyond the prompt is output.
local function output_of(stated, total, prompt)
  if not total or not prompt then
    return stated
  end
  return math.max(stated or 0, total - prompt)
end

-- The names of chat completions or of responses. DeepSeek and Moonshot have members of their own for
-- what was read from the cache.
local function tokens(s, own)
  local input = object(s, own.prompt_tokens_details or own.input_tokens_details or own.input_token_details)
  local output = object(s, own.completion_tokens_details or own.output_tokens_details)
  return {
    input_tokens = first_count(s, own.prompt_tokens, own.input_tokens),
    cached_input_tokens = first_count(s, input.cached_tokens, own.prompt_cache_hit_tokens, own.cached_tokens),
    cache_write_tokens = count(s, input.cache_write_tokens),
    input_audio_tokens = count(s, input.audio_tokens),
    input_image_tokens = count(s, input.image_tokens),
    output_tokens = first_count(s, own.completion_tokens, own.output_tokens),
    reasoning_tokens = count(s, output.reasoning_tokens),
    output_audio_tokens = count(s, output.audio_tokens),
    output_image_tokens = count(s, output.image_tokens),
  }
end

local function generated(s, own)
  local usage = tokens(s, own)
  usage.audio_milliseconds = fields.milliseconds(s, own.prompt_audio_seconds)
  if usage.audio_milliseconds then
    return usage -- Mistral's total has the sound, too
  end
  usage.output_tokens = output_of(usage.output_tokens, count(s, own.total_tokens), usage.input_tokens)
  return usage
end

-- Nothing is generated: of Jina and Voyage the total is all there is.
local function read_only(s, own)
  local usage = tokens(s, own)
  usage.input_tokens = usage.input_tokens or count(s, own.total_tokens)
  return usage
end

local function messages(s, own)
  local pieces = {}
  anthropic.add(pieces, s, own)
  return anthropic.usage(pieces) or {}
end

-- `usage` is of tokens or of a duration (OpenAI); Mistral has both, and sound that is in total_tokens
-- alone. A verbose answer states how long the sound is.
local function heard(s, own, answer)
  local usage = tokens(s, own)
  usage.audio_milliseconds = fields.milliseconds(s, own.seconds)
    or fields.milliseconds(s, own.prompt_audio_seconds)
    or fields.milliseconds(s, answer.duration)
  return usage
end

local function spoken(s, own)
  local usage = tokens(s, own)
  usage.output_audio_tokens = usage.output_audio_tokens or usage.output_tokens
  return usage
end

-- "The number of image tokens in the output image" (OpenAI's SDK, types/image_gen_completed_event.py).
local function pictured(s, own)
  local usage = tokens(s, own)
  usage.output_image_tokens = usage.output_image_tokens or usage.output_tokens
  return usage
end

local function ranked(s, own, answer)
  local usage = read_only(s, own)
  local billed = object(s, object(s, answer.meta).billed_units)
  usage.search_units = first_count(s, billed.search_units, own.search_units)
  return usage
end

local READERS = {
  ["audio/speech"] = spoken,
  ["audio/transcriptions"] = heard,
  ["audio/translations"] = heard,
  ["images/edits"] = pictured,
  ["images/generations"] = pictured,
  embeddings = read_only,
  messages = messages,
  moderations = read_only,
  rerank = ranked,
}

-- The first item of an array, when it is an object.
local function first_item(s, array)
  if not array or byte(s, array.value_start) ~= OPEN_ARRAY then
    return {}
  end
  return fields.by_key(json.members(s, array.value_start + 1))
end

-- In streams, Groq has it in a member of its own, and Moonshot in the choice.
local function reported(s, answer)
  if fields.is_object(s, answer.usage) then
    return answer.usage
  end
  return object(s, answer.x_groq).usage or first_item(s, answer.choices).usage
end

local function has_count(usage)
  for _, name in ipairs(COUNTS) do
    if usage[name] then
      return true
    end
  end
  return false
end

-- The usage table of an answer, by its members (fields.by_key), and `items` of its `data` (nil where
-- that is not known); nil when it reports nothing.
function M.from_members(s, answer, endpoint, items)
  local own = object(s, reported(s, answer))
  local usage = (READERS[endpoint] or generated)(s, own, answer)
  if READERS[endpoint] == pictured then
    usage.images = items
  end
  if not has_count(usage) then
    return nil
  end
  usage.service_tier = fields.service_tier(s, own.service_tier) or fields.service_tier(s, answer.service_tier)
  return usage
end

-- Counts the items of the array `data` as the answer is read: a picture each.
local function item_watch()
  return {
    more = 0,
    on_key = function(_, s, first, last, reader)
      return reader.depth == 1 and s:sub(first, last) == "data" and json.MEMBERS or nil
    end,
    on_marked_item = function(self)
      self.more = self.more + 1
    end,
    on_marked_string = function() end,
  }
end

local function items_of(s, data, watch)
  if not data or byte(s, data.value_start) ~= OPEN_ARRAY then
    return nil
  end
  return find(s, "^%[[ \t\r\n]*%]", data.value_start) and 0 or watch.more + 1
end

-- Reads a complete JSON answer: its usage table, and its members by name; nil for either that there
-- is not. 20 MB of embeddings are read once.
function M.from_body(s, endpoint)
  local watch = READERS[endpoint] == pictured and item_watch() or nil
  local members = json.document(s, watch)
  if not members then
    return nil, nil
  end
  local answer = fields.by_key(members)
  return M.from_members(s, answer, endpoint, watch and items_of(s, answer.data, watch)), answer
end

return M
