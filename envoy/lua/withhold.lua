-- First in a provider's cluster, once per attempt: of the headers only those go on that are known to
-- be harmless there, or that the provider's policy names. All else stays behind: the caller's account
-- and feature headers, and what an attempt at another provider has left in these same headers.
-- Last of all it sets x-tollhouse-withheld, without which the seal refuses the request.

local M = {}

-- x-request-id: attempts share one set of headers with the access log, which would lose it.
local ALWAYS = {
  "content-type", "content-length", "accept", "user-agent", "traceparent", "tracestate",
  "idempotency-key", "x-request-id",
}
-- x-stainless-: the SDKs' platform and retry count. The gateway's own are removed after the rewrite,
-- which reads them.
local PREFIXES = { ":", "x-stainless-", "x-tollhouse-", "x-envoy-" }

local function begins_as_one(name)
  for _, prefix in ipairs(PREFIXES) do
    if name:sub(1, #prefix) == prefix then return true end
  end
  return false
end

-- names: the headers that may pass to this provider besides, in lower case.
function M.all_but(names)
  local passes = {}
  for _, name in ipairs(ALWAYS) do passes[name] = true end
  for _, name in ipairs(names) do passes[name] = true end
  return function(handle)
    local headers, withheld = handle:headers(), {}
    for name in pairs(headers) do
      if not passes[name] and not begins_as_one(name) then withheld[#withheld + 1] = name end
    end
    -- Not within the loop: headers cannot be changed while they are read.
    for _, name in ipairs(withheld) do headers:remove(name) end
    headers:replace("x-tollhouse-withheld", "1")
  end
end

return M
