-- In a provider's cluster, once per attempt: the provider's model name and the policy's parameters go
-- into the body, every other byte stays; path and host become the provider's. Last of all it sets
-- the seal (x-tollhouse-rewritten), without which the next filter refuses the request.
--
-- Writes tollhouse.response   a first estimate of the usage: from here on the request is not free,
--                             whatever becomes of it; response.lua replaces it by what it learns
-- Reads  envoy.filters.http.ext_authz   rewrite: the rules that authz_service granted
--        tollhouse.body                 spans found by request.lua
--        tollhouse.request              endpoint, stream, text_bytes, media_parts
--        envoy.filters.http.ratelimit   input_tokens, output_tokens: no estimate is above them

local estimate = require("estimate")
local splice = require("splice")

local M = {}

local function rules_for(granted, request)
  local chat = request["endpoint"] == "chat/completions"
  return {
    model = granted["model"],
    include_usage = request["stream"] == "true" and granted["stream_usage"] == "requested",
    max_output_tokens = chat and granted["max_output_tokens"] or nil,
    default_max_output_tokens = chat and granted["default_max_output_tokens"] or nil,
    max_tokens_field = granted["max_tokens_field"],
    defaults = granted["defaults"] or {},
  }
end

local function rewrite(handle, provider)
  local bytes
  do
    local body = handle:body() -- yields: what was fetched before this line is dead after it
    if not body then error("no body") end
    bytes = body:getBytes(0, body:length())
  end
  local metadata = handle:streamInfo():dynamicMetadata()
  local grant, request = metadata:get("envoy.filters.http.ext_authz"), metadata:get("tollhouse.request")
  if grant["provider"] ~= provider.name then error("granted for another provider") end
  local rules = rules_for(grant["rewrite"], request)
  local rewritten = splice.rewrite(bytes, metadata:get("tollhouse.body")["spans"], rules)
  handle:body():setBytes(rewritten)
  metadata = handle:streamInfo():dynamicMetadata()
  local headers = handle:headers()
  headers:replace("content-length", string.format("%d", #rewritten))
  -- The client's query is left behind: some providers would read a model or a version from it.
  headers:replace(":path", provider.base_path .. "/" .. request["endpoint"])
  headers:replace(":authority", provider.host)
  local most_input, most_output = estimate.most(request, metadata:get("envoy.filters.http.ratelimit"))
  metadata:set("tollhouse.response", "usage_source", "estimated")
  metadata:set("tollhouse.response", "input_tokens", estimate.input(request, most_input))
  local is_stream = request["stream"] == "true"
  local output = is_stream and estimate.of_stream(0, 0, false, most_output)
    or estimate.of_whole(0, false, most_output)
  metadata:set("tollhouse.response", "output_tokens", output)
  headers:replace("x-tollhouse-rewritten", "1")
end

-- provider: {name, host, base_path}, rendered from policies/providers.yaml.
function M.to_provider(provider)
  return function(handle)
    local ok, problem = pcall(rewrite, handle, provider)
    -- Nothing to undo: without the seal the next filter answers 500 for us.
    if not ok then handle:logErr("rewrite.lua: " .. tostring(problem)) end
  end
end

return M
