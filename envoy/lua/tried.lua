-- The deployments that were asked, in the metadata `tollhouse.attempt` as `tried`. rewrite.lua begins an entry.

local M = {}

local NAMESPACE = "tollhouse.attempt"

-- Notes the status with which the last attempt ended; without one it was cut off, or nothing came in time.
-- attempt: the namespace as it was read.
function M.answered(metadata, attempt, status)
  local tried = attempt["tried"]
  tried[#tried].status = status
  metadata:set(NAMESPACE, "tried", tried)
end

return M
