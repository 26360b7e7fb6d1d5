-- What a call used, for as long as its provider has not said.

local endpoints = require("endpoints")

local M = {}

local ceil, min, max = math.ceil, math.min, math.max

local BYTES_PER_TOKEN = 4 -- OpenAI's rule of thumb for English text
local TOKENS_PER_MEDIA_PART = 85 -- OpenAI's price of a picture at low detail
-- What a provider has generated and not yet delivered when a call is cut off: half a second to a
-- second of the usual 30 to 80 tokens a second.
local AHEAD = 32

-- The most that the call of these facts (tollhouse.request) can use, by its reservation
-- (envoy.filters.http.ratelimit, nil where there is none), in tokens: input, output.
function M.most(request, reservation)
  local input, output = (reservation or {})["input_tokens"], (reservation or {})["output_tokens"]
  if not endpoints.generates[request["endpoint"]] then
    output = 0
  end
  return input or math.huge, output or math.huge
end

-- Input tokens of a request.
function M.input(request, most)
  local text = ceil(tonumber(request["text_bytes"]) / BYTES_PER_TOKEN)
  return min(text + tonumber(request["media_parts"]) * TOKENS_PER_MEDIA_PART, most)
end

-- Output tokens of a stream that has brought so many events and bytes of content: an event is about
-- one token.
function M.of_stream(events, bytes, done, most)
  return min(max(events, ceil(bytes / BYTES_PER_TOKEN)) + (done and 0 or AHEAD), most)
end

-- Output tokens of an answer in one piece, of which so many bytes have passed. A provider generates
-- it to its end before it sends the first byte, and whether or not anybody waits for it: of one that
-- did not come whole nobody knows how long it is, so it is as long as was reserved for it.
function M.of_whole(bytes, done, most)
  local seen = ceil(bytes / BYTES_PER_TOKEN)
  if done or most == math.huge then
    return min(max(seen, done and 0 or AHEAD), most)
  end
  return most
end

local FREE = { usage_source = "none", input_tokens = 0, output_tokens = 0 }
-- Billed by the alias's price per request, whatever is in it.
local BY_RULE = { usage_source = "rule", input_tokens = 0, output_tokens = 0 }

-- What a request counts from the moment it may reach its provider, until that says something.
function M.first(request, reservation)
  local endpoint = request["endpoint"]
  if endpoints.is_unchecked[endpoint] then return BY_RULE end
  if endpoint == "responses/id" or endpoint == "messages/count_tokens" then return FREE end
  local most_input, most_output = M.most(request, reservation)
  local is_stream = request["stream"] == "true"
  return {
    usage_source = "estimated",
    input_tokens = M.input(request, most_input),
    output_tokens = is_stream and M.of_stream(0, 0, false, most_output) or M.of_whole(0, false, most_output),
  }
end

return M
