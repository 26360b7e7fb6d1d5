-- What is known so far of a call's usage, in the metadata `tollhouse.response`, as `usage`: it reaches the
-- access log as it stands when the call ends, however it ends. A record is read once, changed here, and
-- saved as a whole: each reading and each writing costs Envoy a conversion.

local M = {}

local NAMESPACE = "tollhouse.response"

-- The parts of each total.
local PARTS = {
  input_tokens = {
    "cached_input_tokens", "cache_write_tokens", "cache_write_1h_tokens", "input_audio_tokens", "input_image_tokens",
  },
  output_tokens = { "reasoning_tokens", "output_audio_tokens", "output_image_tokens" },
}

-- What is known so far: a table by the names of usage.lua, and usage_source, complete, events, first_event_ms.
-- Nil before anything could be used.
function M.read(metadata)
  return (metadata:get(NAMESPACE) or {})["usage"]
end

function M.save(handle, known)
  handle:streamInfo():dynamicMetadata():set(NAMESPACE, "usage", known)
end

-- The call used nothing: whatever was estimated of it is taken back.
function M.nothing(known)
  for name, value in pairs(known) do
    if type(value) == "number" then known[name] = 0 end
  end
  known.usage_source, known.input_tokens, known.output_tokens = "none", 0, 0
end

-- Takes a usage table over. Where the provider says a total, a part that it does not say is none: what was
-- estimated of it is taken back.
function M.take(known, usage)
  for total, parts in pairs(PARTS) do
    for _, part in ipairs(parts) do
      if usage[total] and known[part] then known[part] = 0 end
    end
  end
  for name, value in pairs(usage) do known[name] = value end
end

return M
