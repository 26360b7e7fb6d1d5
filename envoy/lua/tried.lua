-- The deployments that were asked, in the metadata `tollhouse.attempt` as `tried`. rewrite.lua begins an entry.

local M = {}

local NAMESPACE = "tollhouse.attempt"

-- Envoy's timer began before `at`, and by a clock that a busy worker reads late: it may end sooner.
local MOST_OF_THE_TIME = 0.9

-- The last one had its time and did not begin to answer: it was at work, and may be billed `spent`. One
-- that could not be reached, or hung up, ends sooner. now: ms, as `at`; patience: ms, nil without a limit.
function M.note_silence(last, now, patience, spent)
  if not last.status and patience and now - last.at >= MOST_OF_THE_TIME * patience then
    last.silent = spent
  end
end

-- Notes the status with which the last attempt ended; without one it was cut off, or nothing came in time.
-- attempt: the namespace as it was read.
function M.answered(metadata, attempt, status)
  local tried = attempt["tried"]
  tried[#tried].status = status
  metadata:set(NAMESPACE, "tried", tried)
end

return M
