-- On the way back: a provider's answer passes, and what it used is recorded (passage.lua). Errors are put into
-- the caller's shape (failure.lua), and of a provider's headers only those of an allow list pass (headings.lua).
--
-- Writes  tollhouse.response   usage: usage_source and the counts of usage.lua; complete; of streams events,
--                              first_event_ms
--         tollhouse.attempt    the status that was answered (tried.lua)
--         x-tollhouse-decision: allowed | provider_error, on what a provider answered

local estimate = require("estimate")
local failure = require("failure")
local headings = require("headings")
local passage = require("passage")
local record = require("record")
local tried = require("tried")

local M = {}

-- A reply of our own: a refusal; or the provider closed the connection, and what it had begun is
-- taken for as little as a stream's beginning. One that took too long (504) was at work all along.
local function unanswered(handle, status)
  local metadata = handle:streamInfo():dynamicMetadata()
  local known = record.read(metadata)
  if not known or status == "504" then return end
  local _, most = estimate.most(metadata:get("tollhouse.request"), metadata:get("envoy.filters.http.ratelimit"))
  known.output_tokens = estimate.of_stream(0, 0, false, most)
  record.save(handle, known)
end

local function of_ours(handle, status)
  unanswered(handle, status)
  failure.name_request(handle)
  return failure.of_ours(handle, status)
end

local function of_a_provider(handle, headers, status)
  headings.keep_allowed(headers)
  failure.name_request(handle)
  local ok = tonumber(status) < 300 -- a redirect would tell whose address it is
  headers:replace("x-tollhouse-decision", ok and "allowed" or "provider_error")
  local metadata = handle:streamInfo():dynamicMetadata()
  local attempt, known = metadata:get("tollhouse.attempt"), record.read(metadata)
  tried.answered(metadata, attempt, status)
  if ok then return passage.pass(handle, attempt["asked"], known) end
  record.nothing(known) -- providers do not bill their errors
  record.save(handle, known)
  return failure.of_provider(handle, status)
end

local function read(handle)
  local headers = handle:headers()
  local status = headers:get(":status")
  if not headers:get("x-tollhouse-answered-by") then return of_ours(handle, status) end
  return of_a_provider(handle, headers, status)
end

function M.on_request(handle)
  local ok, problem = pcall(failure.remember, handle)
  if not ok then handle:logErr("response.lua: " .. tostring(problem)) end
end

function M.on_response(handle)
  local ok, problem = pcall(read, handle)
  if not ok then handle:logErr("response.lua: " .. tostring(problem)) end
end

return M
