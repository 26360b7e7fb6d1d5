-- Which headers of a provider's answer pass: those that a caller needs, and none that tell whose account and which
-- limits stand behind an alias. A list of what is allowed, since providers add headers as they like. The list of what
-- is removed in the provider's cluster (clusters.py) comes before it: an x-ratelimit-… that is here is ours.

local M = {}

local ALLOWED = {}
for name in ([[
  :status content-type content-length transfer-encoding content-encoding content-disposition cache-control date
  retry-after retry-after-ms x-should-retry x-request-id
  x-ratelimit-limit-requests x-ratelimit-remaining-requests x-ratelimit-reset-requests
  x-ratelimit-limit-tokens x-ratelimit-remaining-tokens x-ratelimit-reset-tokens
]]):gmatch("%S+") do
  ALLOWED[name] = true
end

local OURS = "^x%-tollhouse%-"

-- Removes all others. `x-tollhouse-answered-by` is from one filter of ours to another.
function M.keep_allowed(headers)
  local removed = { "x-tollhouse-answered-by" }
  for name in pairs(headers) do
    if not ALLOWED[name] and not name:find(OURS) then removed[#removed + 1] = name end
  end
  for _, name in ipairs(removed) do headers:remove(name) end
end

return M
