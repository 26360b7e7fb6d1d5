-- A provider's answer as it passes to the client: its usage is recorded, and the provider's own names
-- give way to the alias and to ids of the client's (shown.lua).
--
-- Reads  tollhouse.request              endpoint, n, include_usage, previous_response_id
--        tollhouse.attempt              asked: show_model, price, and what ids are bound by (ids.lua)
--        envoy.filters.http.ratelimit   no estimate is above it
--        and what failure.lua reads of the caller
-- Writes tollhouse.response             (record.lua)

local endpoints = require("endpoints")
local estimate = require("estimate")
local failure = require("failure")
local ids = require("ids")
local record = require("record")
local shown = require("shown")
local sse = require("sse")
local usage = require("usage")

local M = {}

-- A body beyond this is let through unread: holding on could fill the proxy's memory.
local MAX_HELD_BYTES = 64 * 1024 * 1024

-- Whether what the answer says of usage is this call's.
local function is_counted(endpoint)
  return endpoints.has_body[endpoint] and endpoint ~= "messages/count_tokens"
end

-- Output whose length can be estimated by what has passed of it.
local function grows(endpoint)
  return endpoints.generates[endpoint]
end

-- Of pictures that are charged by the picture, nobody counts tokens: there are none to estimate.
local function completed(counts, call)
  if counts.images and not counts.output_tokens and call.is_by_the_picture then
    counts.input_tokens, counts.output_tokens = 0, 0
  end
  return counts
end

-- Streams.

-- What came after the last usage is not in it, unless the stream is over.
local function is_reported(reader)
  return reader.usage ~= nil and (reader.done or reader.events == reader.counted_events)
end

-- Saved as it grows: a client that leaves mid-stream is charged for what it got, and what was on its
-- way. `taken` is what the record has of the reader's counts.
local function note_progress(reader, call)
  local known, counts = call.known, reader.usage or reader.input
  known.events, known.complete = reader.events, reader.done
  if counts and counts ~= call.taken then
    call.taken = counts
    record.take(known, completed(counts, call))
  end
  local reported = is_reported(reader)
  if grows(call.endpoint) and not (reported and reader.usage.output_tokens) then
    known.output_tokens = estimate.of_reader(reader, call.most)
  elseif reported and call.output_estimated then
    known.output_tokens = reader.usage.output_tokens
  end
  call.output_estimated = not reported
  if reader.usage then known.usage_source = reported and "reported" or "estimated" end
end

local function save_progress(handle, reader, call, started)
  if reader.events > 0 and not call.known.first_event_ms then
    call.known.first_event_ms = handle:timestamp() - started
  end
  if is_counted(call.endpoint) then note_progress(reader, call) end
  record.save(handle, call.known)
end

-- An event stream.
local function stream(handle, call)
  local reader, started = sse.new(call), handle:timestamp()
  handle:headers():remove("content-length") -- hiding a chunk would leave the client waiting for it
  for chunk in handle:bodyChunks() do
    local length = chunk:length()
    local received = length > 0 and chunk:getBytes(0, length) or ""
    -- HTTP/1.1 ends a body by an empty chunk (clusters.py speaks it to every provider).
    local sent = length > 0 and reader:feed(received) or reader:finish()
    if sent ~= received then chunk:setBytes(sent) end
    save_progress(handle, reader, call, started)
  end
  reader:finish() -- a last event that was never closed can still report usage
  save_progress(handle, reader, call, started)
end

-- Answers in one piece.

-- Made in the background: it is being generated, and what of it will be used nobody knows yet.
local function is_unfinished(bytes, answer)
  local status = answer and answer.status and bytes:sub(answer.status.value_start, answer.status.value_end)
  return status == '"queued"' or status == '"in_progress"'
end

-- All of it has passed, and nobody has read it.
local function save_unread(handle, passed, call)
  call.known.complete = true
  if grows(call.endpoint) then call.known.output_tokens = estimate.of_whole(passed, true, call.most) end
  record.save(handle, call.known)
end

-- The answer has come whole: what it used.
local function note_usage(bytes, reported, answer, call)
  local known = call.known
  known.complete = true
  if grows(call.endpoint) then
    known.output_tokens = estimate.of_whole(#bytes, not is_unfinished(bytes, answer), call.most)
  end
  if reported and is_counted(call.endpoint) then
    record.take(known, completed(reported, call))
    known.usage_source = "reported"
  end
end

-- And what the client sees of it.
local function conclude(handle, bytes, call)
  local reported, answer = usage.from_body(bytes, call.endpoint)
  note_usage(bytes, reported, answer, call)
  record.save(handle, call.known)
  local told = call.endpoint:find("^responses") == nil and bytes:find('"error"', 1, true) and call.failure(bytes)
  if told then return told end -- some providers say 200 to what failed
  return answer and shown.answer(bytes, answer, call.endpoint, call.show) or bytes
end

-- The answer was paid for: were any of this to fail, it would still reach the client, as it came.
local function concluded(handle, bytes, call)
  local ok, seen = pcall(conclude, handle, bytes, call)
  if ok then return seen end
  handle:logErr("passage.lua: " .. tostring(seen))
  return bytes
end

-- Without a reservation, output is no less than what has passed of it.
local function save_passed(handle, passed, call)
  if grows(call.endpoint) and call.most == math.huge then
    call.known.output_tokens = estimate.of_whole(passed, false, call.most)
    record.save(handle, call.known)
  end
end

-- JSON, which is read, and shown, when all of it is there. The last chunk is an empty one.
local function whole(handle, call)
  local holds, parts, passed = shown.changes(call.endpoint, call.show), {}, 0
  if holds then handle:headers():remove("content-length") end
  for chunk in handle:bodyChunks() do
    local length = chunk:length()
    passed = passed + length
    save_passed(handle, passed, call)
    if parts and length > 0 then
      parts[#parts + 1] = chunk:getBytes(0, length)
      if holds then chunk:setBytes("") end
    elseif parts then
      local seen = concluded(handle, table.concat(parts), call)
      if holds then chunk:setBytes(seen) end
      return
    end
    if parts and passed > MAX_HELD_BYTES then
      if holds then chunk:setBytes(table.concat(parts)) end
      parts = nil
    end
  end
  save_unread(handle, passed, call)
end

-- Sound, a transcript's text, or what is compressed though nobody asked: nothing in it can be read, or
-- hidden.
local function unread(handle, call)
  local passed = 0
  for chunk in handle:bodyChunks() do
    passed = passed + chunk:length()
    save_passed(handle, passed, call)
  end
  save_unread(handle, passed, call)
end

-- The choice.

local function show_of(asked, request)
  local previous = request["previous_response_id"]
  return {
    model = asked["show_model"],
    response_id = ids.binder(asked),
    previous_response_id = previous ~= "none" and previous or nil,
  }
end

-- Errors inside of streams, in the caller's shape; were that to fail, the event would pass as it came. Few
-- calls have any, and only then is the caller read.
local function shaping(handle)
  local caller
  local function shape(data)
    caller = caller or failure.caller(handle:streamInfo():dynamicMetadata())
    return failure.event(data, caller)
  end
  return function(data)
    local ok, shaped = pcall(shape, data)
    return ok and shaped or nil
  end
end

-- Where `include_usage` is asked for, and an event of its own answers it.
local function may_hide_usage(request)
  local endpoint = request["endpoint"]
  return (endpoint == "chat/completions" or endpoint == "completions") and request["include_usage"] ~= "true"
end

local function call_of(handle, asked, known)
  local metadata = handle:streamInfo():dynamicMetadata()
  local request = metadata:get("tollhouse.request")
  local _, most = estimate.most(request, metadata:get("envoy.filters.http.ratelimit"))
  return {
    endpoint = request["endpoint"],
    pictures = tonumber(request["n"]),
    hide_usage = may_hide_usage(request),
    show = show_of(asked, request),
    failure = shaping(handle),
    is_by_the_picture = (asked["price"] or {})["per_image"] ~= nil,
    most = most, -- output tokens that no estimate is above
    known = known, -- of its usage (record.lua)
  }
end

-- Speech is sound, and a transcript can be text; every other answer is JSON, whatever it is called.
local function is_json(endpoint, content_type)
  return content_type:find("json", 1, true) ~= nil or not endpoint:find("^audio/")
end

-- Lets a provider's answer pass. asked: the deployment that gave it; known: what record.lua read.
function M.pass(handle, asked, known)
  local headers, call = handle:headers(), call_of(handle, asked, known)
  local content_type = headers:get("content-type") or ""
  local encoded = (headers:get("content-encoding") or "identity") ~= "identity"
  if encoded or endpoints.is_unchecked[call.endpoint] then return unread(handle, call) end
  if content_type:find("text/event-stream", 1, true) then return stream(handle, call) end
  if is_json(call.endpoint, content_type) then return whole(handle, call) end
  return unread(handle, call)
end

return M
