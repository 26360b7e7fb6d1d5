-- On the way back: reads the usage a provider reports, from JSON or from SSE as it streams, and hides the
-- usage chunk from clients who did not ask for it. What a provider says about its own credential or in
-- HTML never reaches a client.
--
-- Writes  tollhouse.response   usage_source, input_tokens, output_tokens, cached_input_tokens,
--                              reasoning_tokens, events, complete, first_event_ms
--         x-tollhouse-decision: allowed | provider_error, on what a provider answered

local sse = require("sse")
local usage = require("usage")

local M = {}

local NAMESPACE = "tollhouse.response"

local PROVIDER_ERROR = '{"error":{"message":"%s","type":"api_error","param":null,"code":"provider_error"}}'
local CREDENTIAL = "The provider refused the gateway's own credential. This is not about your key: "
  .. "tell the gateway's operator."
local UNREADABLE = "The provider failed with status %s and an answer that is not JSON. Try again."

local function save(handle, values)
  local metadata = handle:streamInfo():dynamicMetadata()
  for name, value in pairs(values) do metadata:set(NAMESPACE, name, value) end
end

local BYTES_PER_TOKEN = 4 -- OpenAI's rule of thumb for English text

-- What has passed so far, where the provider has not said: a stream's event is about one token.
local function save_estimate(handle, events, content_bytes)
  save(handle, {output_tokens = math.max(events, math.ceil(content_bytes / BYTES_PER_TOKEN))})
end

local function save_usage(handle, reported)
  save(handle, reported)
  save(handle, {usage_source = "reported"})
end

-- Saved as it grows: a client that leaves mid-stream is charged for what it got.
local function save_progress(handle, reader, known)
  save(handle, {events = reader.events, complete = reader.done})
  if not reader.usage then return save_estimate(handle, reader.events, reader.content_bytes) end
  if reader.usage ~= known then save_usage(handle, reader.usage) end
end

local function stream(handle, hide, started)
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
    save_progress(handle, reader, known)
    known = reader.usage
  end
  reader:finish() -- a last event that was never closed can still report usage
  save_progress(handle, reader, known)
end

-- Compressed, though it was not asked for: nothing in it can be read, or hidden.
local function unreadable(handle)
  local bytes = 0
  for chunk in handle:bodyChunks() do
    bytes = bytes + chunk:length()
    save_estimate(handle, 0, bytes)
  end
  save(handle, {complete = true})
end

-- The bytes pass as they come; a copy is kept to read the usage from the whole.
local function whole(handle)
  local parts = {}
  for chunk in handle:bodyChunks() do
    local length = chunk:length()
    if length > 0 then parts[#parts + 1] = chunk:getBytes(0, length) end
  end
  local bytes = table.concat(parts)
  save(handle, {complete = true})
  local reported = usage.from_body(bytes)
  if reported then return save_usage(handle, reported) end
  local request = handle:streamInfo():dynamicMetadata():get("tollhouse.request")
  if request["endpoint"] == "chat/completions" then save_estimate(handle, 0, #bytes) end
end

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

local function read(handle)
  local headers = handle:headers()
  if not headers:get("x-tollhouse-answered-by") then return end -- a refusal of our own
  headers:remove("x-tollhouse-answered-by")
  local status, content_type = headers:get(":status"), headers:get("content-type") or ""
  local ok = tonumber(status) < 400
  headers:replace("x-tollhouse-decision", ok and "allowed" or "provider_error")
  if not ok then
    save(handle, {usage_source = "none", input_tokens = 0}) -- providers do not bill their errors
    return failed(handle, status, content_type)
  end
  local request = handle:streamInfo():dynamicMetadata():get("tollhouse.request")
  if (headers:get("content-encoding") or "identity") ~= "identity" then return unreadable(handle) end
  if content_type:find("text/event-stream", 1, true) then
    return stream(handle, request["include_usage"] ~= "true", handle:timestamp())
  end
  return whole(handle)
end

function M.on_response(handle)
  local ok, problem = pcall(read, handle)
  if not ok then handle:logErr("response.lua: " .. tostring(problem)) end
end

return M
