-- In a provider's cluster, once per attempt: what it must not see of the headers stays behind (withhold.lua);
-- the provider's model name and the policy's parameters go into the body, every other byte stays; path and
-- host become the provider's. Last of all it sets the seal (x-tollhouse-rewritten), without which the next
-- filter refuses the request.
--
-- Writes tollhouse.attempt    asked: which deployment is asked now: provider, provider_model, price, and for
--                             response.lua deployment, show_model, bind; tried: all so far, with their statuses
--        tollhouse.response   a first estimate of the usage: from here on the request is not free,
--                             whatever becomes of it; response.lua replaces it by what it learns
-- Reads  envoy.filters.http.ext_authz   attempts: what authz_service granted, in the order of asking
--        tollhouse.body                 spans found by request.lua
--        tollhouse.request              path, endpoint, stream, text_bytes, media_parts
--        envoy.filters.http.ratelimit   input_tokens, output_tokens: no estimate is above them
-- Of each it reads and writes as a whole, and once: each time costs Envoy a conversion.

local endpoints = require("endpoints")
local estimate = require("estimate")
local record = require("record")
local splice = require("splice")
local tried = require("tried")
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
local function asked_now(granted, count, provider)
  local attempts = granted["attempts"]
  local asked = #attempts == 1 and attempts[1] or attempts[count + 1]
  if not asked or asked["provider"] ~= provider.name then error("granted for another provider") end
  return asked
end

-- Begins an attempt: told before anything can fail, so that the next one knows how many there were.
local function begin(handle, provider, granted)
  local metadata = handle:streamInfo():dynamicMetadata()
  local before = metadata:get(NAMESPACE) or {}
  local list = before["tried"] or {}
  local asked, now = asked_now(granted, #list, provider), handle:timestamp()
  if #list > 0 then
    local spent = { price = before["asked"]["price"], usage = record.read(metadata) }
    tried.note_silence(list[#list], now, granted["patience_ms"], spent)
  end
  list[#list + 1] = { provider = asked["provider"], deployment = asked["deployment"], at = now }
  metadata:set(NAMESPACE, "tried", list)
  metadata:set(NAMESPACE, "asked", {
    provider = asked["provider"], provider_model = asked["model"], price = asked["price"],
    deployment = asked["deployment"], show_model = granted["show_model"], bind = granted["bind"],
  })
  return asked, before["path"]
end

local function rewrite_body(handle, spans, rules)
  local body = handle:body() -- yields: what was fetched before this line is dead after it
  if not body then error("no body") end
  local rewritten = splice.rewrite(body:getBytes(0, body:length()), spans, rules)
  handle:body():setBytes(rewritten)
  handle:headers():replace("content-length", string.format("%d", #rewritten))
end

-- "/files?limit=2" of "/v1/files?limit=2". Headers persist between attempts, so the first one keeps it.
local function unchecked_path(handle, kept)
  if kept then return kept end
  local path = handle:headers():get(":path"):sub(#"/v1" + 1)
  handle:streamInfo():dynamicMetadata():set(NAMESPACE, "path", path)
  return path
end

-- The client's query is left behind: some providers would read a model or a version from it. What is
-- passed through unchecked keeps it, for there a page of a list is asked for by it.
local function path_for(handle, provider, granted, endpoint, kept)
  if endpoints.is_unchecked[endpoint] then
    return provider.base_path .. unchecked_path(handle, kept)
  elseif endpoint == "responses/id" then
    return provider.base_path .. "/responses/" .. granted["stored_id"]
  end
  return provider.base_path .. "/" .. endpoint
end

local function rewrite(handle, provider)
  local metadata = handle:streamInfo():dynamicMetadata()
  local granted, request = metadata:get("envoy.filters.http.ext_authz"), metadata:get("tollhouse.request")
  local reservation, endpoint = metadata:get("envoy.filters.http.ratelimit"), request["endpoint"]
  local asked, kept = begin(handle, provider, granted)
  provider.keep_passing(handle:headers())
  if endpoints.has_body[endpoint] then
    rewrite_body(handle, metadata:get("tollhouse.body")["spans"], rules_for(granted, asked, request))
  end
  local headers = handle:headers()
  headers:replace(":path", path_for(handle, provider, granted, endpoint, kept))
  headers:replace(":authority", provider.host)
  record.save(handle, estimate.first(request, reservation))
  headers:replace("x-tollhouse-rewritten", "1")
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

local function note_status(handle)
  local metadata = handle:streamInfo():dynamicMetadata()
  tried.answered(metadata, metadata:get(NAMESPACE), handle:headers():get(":status"))
end

-- For attempts after which another may come: of the last one response.lua sees the status.
function M.on_response(handle)
  local ok, problem = pcall(note_status, handle)
  if not ok then handle:logErr("rewrite.lua: " .. tostring(problem)) end
end

return M
