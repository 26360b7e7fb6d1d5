-- What is known so far of a call's usage, in the metadata `tollhouse.response`: it reaches the access
-- log as it stands when the call ends, however it ends.

local M = {}

local NAMESPACE = "tollhouse.response"

-- The parts of each total.
local PARTS = {
  input_tokens = {
    "cached_input_tokens", "cache_write_tokens", "cache_write_1h_tokens", "input_audio_tokens", "input_image_tokens",
  },
  output_tokens = { "reasoning_tokens", "output_audio_tokens", "output_image_tokens" },
}

function M.save(handle, values)
  local metadata = handle:streamInfo():dynamicMetadata()
  for name, value in pairs(values) do metadata:set(NAMESPACE, name, value) end
end

-- The call used nothing: whatever was estimated of it is taken back.
function M.nothing(handle)
  local before = handle:streamInfo():dynamicMetadata():get(NAMESPACE) or {}
  local values = {usage_source = "none", input_tokens = 0, output_tokens = 0}
  for name, value in pairs(before) do
    if type(value) == "number" then values[name] = 0 end
  end
  M.save(handle, values)
end

-- Saves a usage table. Where the provider says a total, a part that it does not say is none: what was
-- estimated of it is taken back.
function M.reported(handle, usage)
  local before = handle:streamInfo():dynamicMetadata():get(NAMESPACE) or {}
  local values = {}
  for total, parts in pairs(PARTS) do
    for _, part in ipairs(parts) do
      if usage[total] and before[part] then values[part] = 0 end
    end
  end
  for name, value in pairs(usage) do values[name] = value end
  M.save(handle, values)
end

return M
