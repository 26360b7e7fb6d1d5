-- In a provider's cluster, once per attempt: what it must not see of the headers stays behind (withhold.lua);
-- the provider's model name and the policy's parameters go into the body, every other byte stays; path and
-- host become the provider's. Last of all it sets the seal (x-tollhouse-rewritten), without which the next
-- filter refuses the request.
--
-- Writes tollhouse.attempt    which deployment is asked now: provider, provider_model, deployment, price,
--                             show_model and bind for response.lua; tried: all so far, with their statuses
--        tollhouse.response   a first estimate of the usage: from here on the request is not free,
--                             whatever becomes of it; response.lua replaces it by what it learns
-- Reads  envoy.filters.http.ext_authz   attempts: what authz_service granted, in the order of asking
--        tollhouse.body                 spans found by request.lua
--        tollhouse.request              path, endpoint, stream, text_bytes, media_parts
--        envoy.filters.http.ratelimit   input_tokens, output_tokens: no estimate is above them

local endpoints = require("endpoints")
local estimate = require("estimate")
local splice = require("splice")
local withhold = require("withhold")

local M = {}

local NAMESPACE = "tollhouse.attempt"

-- The field that caps the output, where the provider's own choice of it is not for this endpoint.
local MAX_TOKENS_FIELD = { completions = "max_tokens", messages = "max_tokens", responses = "max_output_tokens" }

local function rules_for(granted, asked, request)
  local endpoint = request["endpoint"]
  local caps = endpoints.generates[endpoint]
  local counts_stream = endpoint == "chat/completions" or endpoint == "completions"
  return {
    model = asked["model"],
    include_usage = counts_stream and request["stream"] == "true" and asked["stream_usage"] == "requested",
    drop_stream_options = counts_stream and asked["stream_usage"] == "always",
    max_output_tokens = caps and asked["max_output_tokens"] or nil,
    default_max_output_tokens = caps and asked["default_max_output_tokens"] or nil,
    max_tokens_field = MAX_TOKENS_FIELD[endpoint] or asked["max_tokens_field"],
    defaults = endpoints.takes_defaults(endpoint) and asked["defaults"] or {},
    previous_response_id = granted["stored_id"],
  }
end

-- Attempt k is for the k-th of the grant; an alias with one deployment is tried there again.
local function asked_now(granted, tried, provider)
  local attempts = granted["attempts"]
  local asked = #attempts == 1 and attempts[1] or attempts[#tried + 1]
  if not asked or asked["provider"] ~= provider.name then error("granted for another provider") end
  return asked
end

-- The one before had its time and did not begin to answer: it was at work, and may be billed. One that
-- could not be reached, or hung up, ends sooner.
local function note_silence(granted, tried, now, spent)
  local last = tried[#tried]
  if last and not last.status and now - last.at >= (granted["patience_ms"] or math.huge) then
    last.silent = spent
  end
end

-- Begins an attempt: told before anything can fail, so that the next one knows how many there were.
local function begin(handle, provider)
  local metadata = handle:streamInfo():dynamicMetadata()
  local granted, before = metadata:get("envoy.filters.http.ext_authz"), metadata:get(NAMESPACE) or {}
  local tried = before["tried"] or {}
  local asked, now = asked_now(granted, tried, provider), handle:timestamp()
  note_silence(granted, tried, now, { price = before["price"], usage = metadata:get("tollhouse.response") })
  tried[#tried + 1] = { provider = asked["provider"], deployment = asked["deployment"], at = now }
  local attempt = {
    provider = asked["provider"], provider_model = asked["model"], deployment = asked["deployment"],
    price = asked["price"], show_model = granted["show_model"], bind = granted["bind"], tried = tried,
  }
  for name, value in pairs(attempt) do metadata:set(NAMESPACE, name, value) end
  return granted, asked
end

local function rewrite_body(handle, granted, asked)
  local bytes
  do
    local body = handle:body() -- yields: what was fetched before this line is dead after it
    if not body then error("no body") end
    bytes = body:getBytes(0, body:length())
  end
  local metadata = handle:streamInfo():dynamicMetadata()
  local rules = rules_for(granted, asked, metadata:get("tollhouse.request"))
  local rewritten = splice.rewrite(bytes, metadata:get("tollhouse.body")["spans"], rules)
  handle:body():setBytes(rewritten)
  handle:headers():replace("content-length", string.format("%d", #rewritten))
end

-- "/files?limit=2" of "/v1/files?limit=2". Headers persist between attempts, so the first one keeps it.
local function unchecked_path(handle)
  local metadata = handle:streamInfo():dynamicMetadata()
  local path = metadata:get(NAMESPACE)["path"]
  if not path then
    path = handle:headers():get(":path"):sub(#"/v1" + 1)
    metadata:set(NAMESPACE, "path", path)
  end
  return path
end

-- The client's query is left behind: some providers would read a model or a version from it. What is
-- passed through unchecked keeps it, for there a page of a list is asked for by it.
local function path_for(handle, provider, granted, request)
  local endpoint = request["endpoint"]
  if endpoints.is_unchecked[endpoint] then
    return provider.base_path .. unchecked_path(handle)
  elseif endpoint == "responses/id" then
    return provider.base_path .. "/responses/" .. granted["stored_id"]
  end
  return provider.base_path .. "/" .. endpoint
end

local function first_estimate(handle, request)
  local metadata = handle:streamInfo():dynamicMetadata()
  local found = estimate.first(request, metadata:get("envoy.filters.http.ratelimit"))
  for name, value in pairs(found) do metadata:set("tollhouse.response", name, value) end
end

local function rewrite(handle, provider)
  local granted, asked = begin(handle, provider)
  provider.keep_passing(handle:headers())
  local request = handle:streamInfo():dynamicMetadata():get("tollhouse.request")
  if endpoints.has_body[request["endpoint"]] then rewrite_body(handle, granted, asked) end
  local headers = handle:headers()
  headers:replace(":path", path_for(handle, provider, granted, request))
  headers:replace(":authority", provider.host)
  first_estimate(handle, request)
  handle:headers():replace("x-tollhouse-rewritten", "1")
end

-- The status with which an attempt ended; without one it was cut off, or nothing came in time.
local function note_status(handle)
  local metadata = handle:streamInfo():dynamicMetadata()
  local tried = (metadata:get(NAMESPACE) or {})["tried"]
  if not tried then return end
  tried[#tried].status = handle:headers():get(":status")
  metadata:set(NAMESPACE, "tried", tried)
end

-- rendered: {name, host, base_path, passing = the headers that may pass besides (withhold.lua)}, from
-- policies/providers.yaml.
function M.to_provider(rendered)
  local provider = {
    name = rendered.name, host = rendered.host, base_path = rendered.base_path,
    keep_passing = withhold.all_but(rendered.passing),
  }
  return function(handle)
    local ok, problem = pcall(rewrite, handle, provider)
    -- Nothing to undo: without the seal the next filter answers 500 for us.
    if not ok then handle:logErr("rewrite.lua: " .. tostring(problem)) end
  end
end

function M.on_response(handle)
  local ok, problem = pcall(note_status, handle)
  if not ok then handle:logErr("rewrite.lua: " .. tostring(problem)) end
end

return M
