-- Usage in the Messages dialect. Its input_tokens excludes what was read from the prompt cache and
-- what was written to it, and a stream reports in pieces: message_start has the input, and
-- message_delta the output so far ("The cumulative number of output tokens"; Anthropic's SDK,
-- types/message_delta_usage.py). Counts only grow, so pieces are put together by the larger one.

local fields = require("fields")

local M = {}

local max = math.max
local count = fields.count

-- Adds the counts of a usage object, by its members, to the pieces known so far.
function M.add(pieces, s, own)
  local created = fields.object(s, own.cache_creation)
  local found = {
    uncached = count(s, own.input_tokens),
    read = count(s, own.cache_read_input_tokens),
    written = count(s, own.cache_creation_input_tokens),
    written_5m = count(s, created.ephemeral_5m_input_tokens),
    written_1h = count(s, created.ephemeral_1h_input_tokens),
    output = count(s, own.output_tokens),
    thought = count(s, fields.object(s, own.output_tokens_details).thinking_tokens),
  }
  for name, value in pairs(found) do
    pieces[name] = max(pieces[name] or 0, value)
  end
  pieces.service_tier = fields.service_tier(s, own.service_tier) or pieces.service_tier
end

-- Writes of five minutes, or of a time that is not stated.
local function other_writes(pieces)
  if not pieces.written then
    return pieces.written_5m
  end
  return max(pieces.written - (pieces.written_1h or 0), pieces.written_5m or 0)
end

-- Of the pieces, the counts of the input; nil when it is not known.
function M.input(pieces)
  if not (pieces.uncached or pieces.read or pieces.written) then
    return nil
  end
  local writes = other_writes(pieces)
  return {
    input_tokens = (pieces.uncached or 0) + (pieces.read or 0) + (writes or 0) + (pieces.written_1h or 0),
    cached_input_tokens = pieces.read,
    cache_write_tokens = writes,
    cache_write_1h_tokens = pieces.written_1h,
    service_tier = pieces.service_tier,
  }
end

-- All the counts; nil when neither side is known.
function M.usage(pieces)
  local usage = M.input(pieces) or {}
  usage.output_tokens, usage.reasoning_tokens = pieces.output, pieces.thought
  usage.service_tier = pieces.service_tier
  return (usage.input_tokens or usage.output_tokens) and usage or nil
end

return M
