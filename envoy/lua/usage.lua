-- The token counts that a provider reports, from the JSON bytes of its answer.
--
-- A usage table has input_tokens, output_tokens, cached_input_tokens (part of the input) and
-- reasoning_tokens (part of the output), in tokens. A count that is absent, or not a non-negative
-- integer, is nil; when neither input nor output is known there is no table at all, so that the
-- ledger estimates instead of charging nothing.
--
-- Some providers report reasoning beside completion_tokens, not in it (xAI), or nowhere but in
-- total_tokens (Gemini behind adapters). All bill it as output: what the total has beyond the
-- prompt is output.

local json = require("json")

local M = {}

local byte, find = string.byte, string.find

local OBJECT = 123 -- {

local function by_key(members)
  local index = {}
  for _, member in ipairs(members or {}) do
    index[member.key] = member
  end
  return index
end

local function object_at(s, member)
  if not member or byte(s, member.value_start) ~= OBJECT then
    return {}
  end
  return by_key(json.members(s, member.value_start))
end

local function count(s, member)
  return member and json.integer(s, member.value_start, member.value_end)
end

local function output_of(stated, total, prompt)
  if not total or not prompt then
    return stated
  end
  return math.max(stated or 0, total - prompt)
end

-- The usage table of the object s[first..last], in the names of chat completions or of responses.
function M.from_object(s, first, last)
  local members, stop = json.members(s, first)
  if not members or stop ~= last then
    return nil
  end
  local own = by_key(members)
  local input = object_at(s, own.prompt_tokens_details or own.input_tokens_details)
  local output = object_at(s, own.completion_tokens_details or own.output_tokens_details)
  local prompt = count(s, own.prompt_tokens or own.input_tokens)
  local usage = {
    input_tokens = prompt,
    output_tokens = output_of(
      count(s, own.completion_tokens or own.output_tokens), count(s, own.total_tokens), prompt
    ),
    cached_input_tokens = count(s, input.cached_tokens),
    reasoning_tokens = count(s, output.reasoning_tokens),
  }
  return (usage.input_tokens or usage.output_tokens) and usage or nil
end

-- The usage table of a complete JSON answer, or nil: its top-level object `usage`, wherever it is.
-- 20 MB of embeddings are read only when the name occurs in them at all.
function M.from_body(s)
  if not find(s, '"usage"', 1, true) then
    return nil
  end
  local member = by_key(json.document(s)).usage
  if not member or byte(s, member.value_start) ~= OBJECT then
    return nil
  end
  return M.from_object(s, member.value_start, member.value_end)
end

return M
