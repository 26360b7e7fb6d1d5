-- On the way back: reads the usage a provider reports, from JSON or from SSE as it streams, and hides the
-- usage chunk from clients who did not ask for it. Errors are put into the caller's shape (failure.lua), and of
-- a provider's headers only those of an allow list pass.
--
-- Writes  tollhouse.response   usage_source, input_tokens, output_tokens, cached_input_tokens,
--                              reasoning_tokens, events, complete, first_event_ms
--         x-tollhouse-decision: allowed | provider_error, on what a provider answered

local estimate = require("estimate")
local failure = require("failure")
local headings = require("headings")
local sse = require("sse")
local usage = require("usage")

local M = {}

local NAMESPACE = "tollhouse.response"

local function save(handle, values)
  local metadata = handle:streamInfo():dynamicMetadata()
  for name, value in pairs(values) do metadata:set(NAMESPACE, name, value) end
end

local function save_usage(handle, reported)
  save(handle, reported)
  save(handle, {usage_source = "reported"})
end

-- Saved as it grows: a client that leaves mid-stream is charged for what it got, and what was on its way.
local function save_progress(handle, reader, known, most)
  save(handle, {events = reader.events, complete = reader.done})
  if not reader.usage then
    local tokens = estimate.of_stream(reader.events, reader.content_bytes, reader.done, most)
    return save(handle, {output_tokens = tokens})
  end
  if reader.usage ~= known then save_usage(handle, reader.usage) end
end

local function stream(handle, hide, started, most)
  local reader = sse.new({hide_usage = hide})
  handle:headers():remove("content-length") -- hiding a chunk would leave the client waiting for it
  local known, seen_events
  for chunk in handle:bodyChunks() do
    local length = chunk:length()
    local received = length > 0 and chunk:getBytes(0, length) or ""
    -- HTTP/1.1 ends a body by an empty chunk (clusters.py speaks it to every provider).
    local sent = length > 0 and reader:feed(received) or reader:finish()
    if sent ~= received then chunk:setBytes(sent) end
    if reader.events > 0 and not seen_events then
      seen_events = true
      save(handle, {first_event_ms = handle:timestamp() - started})
    end
    save_progress(handle, reader, known, most)
    known = reader.usage
  end
  reader:finish() -- a last event that was never closed can still report usage
  save_progress(handle, reader, known, most)
end

-- Compressed, though it was not asked for: nothing in it can be read, or hidden.
local function unreadable(handle, most)
  local bytes = 0
  for chunk in handle:bodyChunks() do
    bytes = bytes + chunk:length()
    save(handle, {output_tokens = estimate.of_whole(bytes, false, most)})
  end
  save(handle, {complete = true, output_tokens = estimate.of_whole(bytes, true, most)})
end

-- The bytes pass as they come; a copy is kept to read the usage from the whole.
local function whole(handle, most)
  local parts, passed = {}, 0
  for chunk in handle:bodyChunks() do
    local length = chunk:length()
    if length > 0 then parts[#parts + 1] = chunk:getBytes(0, length) end
    passed = passed + length
    save(handle, {output_tokens = estimate.of_whole(passed, false, most)})
  end
  local bytes = table.concat(parts)
  save(handle, {complete = true})
  local reported = usage.from_body(bytes)
  save(handle, {output_tokens = estimate.of_whole(passed, true, most)})
  if reported then save_usage(handle, reported) end
end

-- A reply of our own: a refusal; or the provider closed the connection, and what it had begun is
-- taken for as little as a stream's beginning. One that took too long (504) was at work all along.
local function unanswered(handle, status)
  local metadata = handle:streamInfo():dynamicMetadata()
  if not metadata:get(NAMESPACE) or status == "504" then return end
  local _, most = estimate.most(metadata:get("tollhouse.request"), metadata:get("envoy.filters.http.ratelimit"))
  save(handle, {output_tokens = estimate.of_stream(0, 0, false, most)})
end

local function read(handle)
  local headers = handle:headers()
  local status, content_type = headers:get(":status"), headers:get("content-type") or ""
  if not headers:get("x-tollhouse-answered-by") then
    unanswered(handle, status)
    failure.name_request(handle)
    return failure.of_ours(handle, status)
  end
  headings.keep_allowed(headers)
  failure.name_request(handle)
  local ok = tonumber(status) < 400
  headers:replace("x-tollhouse-decision", ok and "allowed" or "provider_error")
  if not ok then
    save(handle, {usage_source = "none", input_tokens = 0, output_tokens = 0}) -- providers do not bill their errors
    return failure.of_provider(handle, status)
  end
  local metadata = handle:streamInfo():dynamicMetadata()
  local request = metadata:get("tollhouse.request")
  local _, most = estimate.most(request, metadata:get("envoy.filters.http.ratelimit"))
  if (headers:get("content-encoding") or "identity") ~= "identity" then return unreadable(handle, most) end
  if content_type:find("text/event-stream", 1, true) then
    return stream(handle, request["include_usage"] ~= "true", handle:timestamp(), most)
  end
  return whole(handle, most)
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
