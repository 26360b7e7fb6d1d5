-- First of an attempt at a provider: of the headers only those go on that are known to be harmless there,
-- that the provider's policy names, or that Envoy has just set for it. All else stays behind: the caller's
-- account and feature headers, and what an attempt at another provider has left in these same headers.

local M = {}

local byte, find = string.byte, string.find

local COLON = 58
-- x-request-id: attempts share one set of headers with the access log, which would lose it.
local ALWAYS = {
  "content-type", "content-length", "accept", "user-agent", "traceparent", "tracestate",
  "idempotency-key", "x-request-id",
}
-- x-stainless-: the SDKs' platform and retry count. The gateway's own are removed after the rewrite,
-- which reads them.
local PREFIXES = { "^x%-stainless%-", "^x%-tollhouse%-", "^x%-envoy%-" }

local function begins_as_one(name)
  if byte(name, 1) == COLON then return true end
  for i = 1, #PREFIXES do
    if find(name, PREFIXES[i]) then return true end
  end
  return false
end

-- names: the headers that may pass to this provider besides, in lower case. Gives a function that removes
-- all others.
function M.all_but(names)
  local passes = {}
  for _, name in ipairs(ALWAYS) do passes[name] = true end
  for _, name in ipairs(names) do passes[name] = true end
  return function(headers)
    local withheld = {}
    for name in pairs(headers) do
      if not passes[name] and not begins_as_one(name) then withheld[#withheld + 1] = name end
    end
    -- Not within the loop: headers cannot be changed while they are read.
    for i = 1, #withheld do headers:remove(withheld[i]) end
  end
end

return M
