-- On the way back: a provider's answer passes, and what it used is recorded (passage.lua). What a provider
-- says about its own credential or in HTML never reaches a client.
--
-- Writes  tollhouse.response   usage_source and the counts of usage.lua; complete; of streams events, first_event_ms
--         x-tollhouse-decision: allowed | provider_error, on what a provider answered

local estimate = require("estimate")
local passage = require("passage")
local record = require("record")

local M = {}

local NAMESPACE = "tollhouse.response"

local PROVIDER_ERROR = '{"error":{"message":"%s","type":"api_error","param":null,"code":"provider_error"}}'
local CREDENTIAL = "The provider refused the gateway's own credential. This is not about your key: "
  .. "tell the gateway's operator."
local UNREADABLE = "The provider failed with status %s and an answer that is not JSON. Try again."

local function replace(handle, status, message)
  local headers = handle:headers()
  headers:replace(":status", status)
  headers:replace("content-type", "application/json")
  headers:remove("content-encoding")
  handle:body(true):setBytes(PROVIDER_ERROR:format(message))
end

local function failed(handle, status, content_type)
  if status == "401" or status == "403" then return replace(handle, "502", CREDENTIAL) end
  if not content_type:find("json", 1, true) then
    return replace(handle, status, UNREADABLE:format(status))
  end
end

-- A reply of our own: a refusal; or the provider closed the connection, and what it had begun is
-- taken for as little as a stream's beginning. One that took too long (504) was at work all along.
local function unanswered(handle, status)
  local metadata = handle:streamInfo():dynamicMetadata()
  if not metadata:get(NAMESPACE) or status == "504" then return end
  local _, most = estimate.most(metadata:get("tollhouse.request"), metadata:get("envoy.filters.http.ratelimit"))
  record.save(handle, {output_tokens = estimate.of_stream(0, 0, false, most)})
end

local function read(handle)
  local headers = handle:headers()
  if not headers:get("x-tollhouse-answered-by") then return unanswered(handle, headers:get(":status")) end
  headers:remove("x-tollhouse-answered-by")
  local status, content_type = headers:get(":status"), headers:get("content-type") or ""
  local ok = tonumber(status) < 400
  headers:replace("x-tollhouse-decision", ok and "allowed" or "provider_error")
  if not ok then
    record.save(handle, {usage_source = "none", input_tokens = 0, output_tokens = 0}) -- providers do not bill their errors
    return failed(handle, status, content_type)
  end
  return passage.pass(handle)
end

function M.on_response(handle)
  local ok, problem = pcall(read, handle)
  if not ok then handle:logErr("response.lua: " .. tostring(problem)) end
end

return M
